// SPDX-License-Identifier: Apache-2.0

package model

// ProxyConfig is what an object of that kind gives proxies when they start. Its
// pointer changes when anything in it changes.
type ProxyConfig struct {
	Origin
	// Selector of the pods in its namespace; empty for all of them, and in the
	// root namespace for all of the mesh.
	Selector Labels
	// Concurrency is the number of workers; nil says nothing, 0 is one for each processor.
	Concurrency *int32
	// Environment of the proxy, sorted by name.
	Environment []Header
	// ImageType is the variant of the proxy's image; empty says nothing.
	ImageType string
}
