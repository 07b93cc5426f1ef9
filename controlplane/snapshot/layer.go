// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// layer is a layer and the resources that it was made of, in the order in which
// they were given.
type layer struct {
	of    []*envoy.Resource
	layer *envoy.Layer
}

// over makes a layer of resources, or keeps the earlier one when they are the same.
func (earlier layer) over(resources []*envoy.Resource) layer {
	if earlier.layer != nil && slices.Equal(earlier.of, resources) {
		return earlier
	}
	// Of two with one name the first stands: pods behind two headless services
	// have one listener. Services that clash are reported where names are resolved.
	l, _ := envoy.NewLayer(resources)
	return layer{of: resources, layer: l}
}

// keep returns the earlier resource when the new one says the same, so that
// nobody downstream takes it for a change.
func keep(earlier, now *envoy.Resource) *envoy.Resource {
	if earlier != nil && now != nil && earlier.Name == now.Name && earlier.Version == now.Version {
		return earlier
	}
	return now
}
