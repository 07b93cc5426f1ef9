// SPDX-License-Identifier: Apache-2.0

// Package wasm fetches the modules that WasmPlugins name: images from registries
// and files from web servers. It stands beside the flow: what ingest wants is
// fetched here, and given back to ingest as one more input. A module is checked
// and kept by the hash of its code, and given to proxies with their
// configuration, so they fetch nothing themselves.
package wasm
