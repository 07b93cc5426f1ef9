// SPDX-License-Identifier: Apache-2.0

// Package extensions turns Istio's WasmPlugin into the model, and says which
// modules are to be fetched for it. It is pure and stands between informers
// (objects) and controlplane/extension (Envoy filters); what it wants is fetched
// by controlplane/wasm, and comes back as one more input. A plugin that can't be
// had is not left out: its failStrategy says what becomes of the traffic, and a
// Problem says why.
package extensions
