// SPDX-License-Identifier: Apache-2.0

// Package generate makes random pieces of the model as users might write them:
// mostly sensible, sometimes strange, now and then plainly wrong. Property
// tests translate them and give the result to a real Envoy, which must take all
// of it.
package generate
