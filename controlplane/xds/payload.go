// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"slices"
	"sync"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

// Fields of DiscoveryResponse and DeltaDiscoveryResponse; they agree on all but
// removed_resources, which the former doesn't have.
const (
	fieldVersion   = 1
	fieldResources = 2
	fieldTypeURL   = 4
	fieldNonce     = 5
	fieldRemoved   = 6
)

// selection is what a response says.
type selection struct {
	// resources sorted by name.
	resources []*envoy.Resource
	// removed names, sorted; a delta response alone can tell them.
	removed []string
	// version of the whole, for a state-of-the-world response.
	version string
}

func (s selection) empty() bool { return len(s.resources)+len(s.removed) == 0 }

// payload is a response without its nonce, encoded and immutable. Its body
// begins with a head and goes on with the resources' own bytes, which it refers to.
type payload struct {
	kind kind
	selection
	// parts that it is put together of; it then has no resources of its own.
	parts []*payload
	body  mem.BufferSlice
	size  int

	once sync.Once
	eds  []string
}

func newPayload(k kind, sotw bool, s selection) *payload {
	p := &payload{kind: k, selection: s, body: make(mem.BufferSlice, 0, len(s.resources)+1)}
	p.body = append(p.body, head(k, sotw, s))
	for _, r := range s.resources {
		if sotw {
			p.body = append(p.body, mem.SliceBuffer(r.SotW()))
		} else {
			p.body = append(p.body, mem.SliceBuffer(r.Delta()))
		}
	}
	p.size = p.body.Len()
	return p
}

// together makes one delta payload out of several.
func together(parts []*payload) *payload {
	if len(parts) == 1 {
		return parts[0]
	}
	p := &payload{kind: parts[0].kind, parts: parts}
	bodies := 0
	for _, part := range parts {
		p.removed = append(p.removed, part.removed...)
		bodies += len(part.body)
	}
	p.body = make(mem.BufferSlice, 0, bodies)
	p.body = append(p.body, head(p.kind, false, p.selection))
	for _, part := range parts {
		p.body = append(p.body, part.body[1:]...)
	}
	p.size = p.body.Len()
	return p
}

// head is all of a response but its resources.
func head(k kind, sotw bool, s selection) mem.SliceBuffer {
	out := make([]byte, 0, 4+len(typeURLs[k])+len(s.version))
	if s.version != "" {
		out = protowire.AppendTag(out, fieldVersion, protowire.BytesType)
		out = protowire.AppendString(out, s.version)
	}
	out = protowire.AppendTag(out, fieldTypeURL, protowire.BytesType)
	out = protowire.AppendString(out, typeURLs[k])
	if !sotw {
		for _, name := range s.removed {
			out = protowire.AppendTag(out, fieldRemoved, protowire.BytesType)
			out = protowire.AppendString(out, name)
		}
	}
	return out
}

// all resources of the payload and its parts.
func (p *payload) all() []*envoy.Resource {
	out := p.resources
	for _, part := range p.parts {
		out = append(slices.Clip(out), part.resources...)
	}
	return out
}

// endpointNames are the endpoint resources that the payload's clusters wait for.
func (p *payload) endpointNames() []string {
	p.once.Do(func() {
		for _, part := range p.parts {
			p.eds = append(p.eds, part.endpointNames()...)
		}
		for _, r := range p.resources {
			if name, ok := endpointName(r); ok {
				p.eds = append(p.eds, name)
			}
		}
	})
	return p.eds
}

// endpointName is the name under which a cluster asks for its endpoints; false
// when its endpoints don't come by EDS.
func endpointName(r *envoy.Resource) (string, bool) {
	var wrapped anypb.Any
	var c clusterv3.Cluster
	if proto.Unmarshal(r.Any(), &wrapped) != nil || wrapped.UnmarshalTo(&c) != nil || c.GetType() != clusterv3.Cluster_EDS {
		return "", false
	}
	if name := c.GetEdsClusterConfig().GetServiceName(); name != "" {
		return name, true
	}
	return c.GetName(), true
}

// choose the resources of some names. What the layers don't have is empty, for
// the types of which a proxy waits for an answer, or is told as removed.
func choose(k kind, l envoy.Layers, only *nameSet) selection {
	sorted := make([]string, 0, only.size())
	for name := range only.members {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	return chooseSorted(k, l, sorted)
}

func chooseSorted(k kind, l envoy.Layers, sorted []string) selection {
	var s selection
	for _, name := range sorted {
		switch r := effective(k, l, name); {
		case r != nil:
			s.resources = append(s.resources, r)
		default:
			s.removed = append(s.removed, name)
		}
	}
	return s
}

// effective is the resource that answers a name: the layers', or an empty one
// for the types of which every name is answered; or nil.
func effective(k kind, l envoy.Layers, name string) *envoy.Resource {
	if r := get(l, name); r != nil || !k.answersUnknown() {
		return r
	}
	return emptyResource(k, name)
}

// emptyResource of endpoints or routes: no endpoint, no virtual host.
func emptyResource(k kind, name string) *envoy.Resource {
	var m proto.Message = &endpointv3.ClusterLoadAssignment{ClusterName: name}
	if k == routes {
		m = &routev3.RouteConfiguration{Name: name}
	}
	r, err := envoy.NewResource(name, m)
	if err != nil {
		return nil // a name that is no UTF-8; requests with such names are refused
	}
	return r
}

func resourceNames(resources []*envoy.Resource) []string {
	out := make([]string, len(resources))
	for i, r := range resources {
		out[i] = r.Name
	}
	return out
}

// filter keeps the resources whose names are in the set; the nil set keeps all.
func (s *nameSet) filter(resources []*envoy.Resource) []*envoy.Resource {
	if s == nil {
		return resources
	}
	var out []*envoy.Resource
	for _, r := range resources {
		if s.has(r.Name) {
			out = append(out, r)
		}
	}
	return out
}
