// SPDX-License-Identifier: Apache-2.0

// Package accepted holds no code but tests: what admission accepts of random
// objects, a real Envoy takes, and says nothing against it.
package accepted
