// SPDX-License-Identifier: Apache-2.0

package envoy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// The xDS types that are served.
const (
	ClusterType  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	EndpointType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	ListenerType = "type.googleapis.com/envoy.config.listener.v3.Listener"
	RouteType    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	SecretType   = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
	// ExtensionType is the configuration of a filter that listeners discover by name.
	ExtensionType = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
	// NameTableType answers names that only the mesh knows (Istio's NDS).
	NameTableType = "type.googleapis.com/istio.networking.nds.v1.NameTable"
	// RuntimeType tells the agent of a pod what to set in its Envoy's runtime.
	RuntimeType = "type.googleapis.com/envoy.service.runtime.v3.Runtime"
	// BootstrapType are patches of the bootstrap, for the agent to merge into it.
	BootstrapType = "type.googleapis.com/envoy.config.bootstrap.v3.Bootstrap"
)

// TerminatingKey of Envoy's runtime makes a sidecar refuse what comes by mesh
// TLS: at 100 all, at 0 nothing. An agent that is told so ends the connections
// of its pod's callers first.
const TerminatingKey = "isthmesh.terminating"

// Resource is one Envoy resource, marshalled once and shared by every proxy
// that sees it. It is immutable; two with equal Version have equal content.
type Resource struct {
	Name string
	// Version is a hash of the content, the same on every replica and after every restart;
	// that of a stand-in says that it is one.
	Version string
	// delta is the entry of DeltaDiscoveryResponse.resources (field 2, with its
	// tag and length); its tail, from sotw on, is the entry of
	// DiscoveryResponse.resources (also field 2), the Any alone.
	delta []byte
	sotw  int
}

// NewResource marshals a resource deterministically.
func NewResource(name string, m proto.Message) (*Resource, error) {
	typeURL, body, err := marshalled(name, m)
	if err != nil {
		return nil, err
	}
	return FromBytes(name, typeURL, body), nil
}

func marshalled(name string, m proto.Message) (typeURL string, body []byte, err error) {
	kind := m.ProtoReflect().Descriptor().FullName()
	body, err = proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return "", nil, fmt.Errorf("marshal %s %q: %w", kind, name, err)
	}
	return "type.googleapis.com/" + string(kind), body, nil
}

// FromBytes makes a resource out of a message that is marshalled already, such
// as a route configuration put together out of its virtual hosts' bytes.
func FromBytes(name, typeURL string, body []byte) *Resource {
	return versioned(name, typeURL, body, hashed(body))
}

// standing begins the versions of stand-ins, so that one is known by what a proxy
// says that it has.
const standing = "stand-in-"

// NewStandIn marshals what stands in for a resource that can't be had just now. A proxy
// that comes back with the resource itself keeps that.
func NewStandIn(name string, m proto.Message) (*Resource, error) {
	typeURL, body, err := marshalled(name, m)
	if err != nil {
		return nil, err
	}
	return versioned(name, typeURL, body, standing+hashed(body)), nil
}

// StandsIn is true for the version of a stand-in.
func StandsIn(version string) bool { return strings.HasPrefix(version, standing) }

func hashed(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:8])
}

func versioned(name, typeURL string, body []byte, version string) *Resource {
	var anyBytes []byte
	anyBytes = protowire.AppendTag(anyBytes, 1, protowire.BytesType)
	anyBytes = protowire.AppendString(anyBytes, typeURL)
	anyBytes = protowire.AppendTag(anyBytes, 2, protowire.BytesType)
	anyBytes = protowire.AppendBytes(anyBytes, body)

	// envoy.service.discovery.v3.Resource: version = 1, resource = 2, name = 3.
	var head []byte
	head = protowire.AppendTag(head, 3, protowire.BytesType)
	head = protowire.AppendString(head, name)
	head = protowire.AppendTag(head, 1, protowire.BytesType)
	head = protowire.AppendString(head, version)
	tail := protowire.AppendTag(nil, 2, protowire.BytesType)
	tail = protowire.AppendBytes(tail, anyBytes)

	delta := make([]byte, 0, len(head)+len(tail)+8)
	delta = protowire.AppendTag(delta, 2, protowire.BytesType)
	delta = protowire.AppendVarint(delta, uint64(len(head)+len(tail)))
	delta = append(delta, head...)
	sotw := len(delta)
	delta = append(delta, tail...)
	return &Resource{Name: name, Version: version, delta: delta, sotw: sotw}
}

// Delta is the resource as an entry of a DeltaDiscoveryResponse. Read only.
func (r *Resource) Delta() []byte { return r.delta }

// SotW is the resource as an entry of a DiscoveryResponse. Read only.
func (r *Resource) SotW() []byte { return r.delta[r.sotw:] }

// Any is the bytes of the google.protobuf.Any inside. Read only.
func (r *Resource) Any() []byte {
	_, n := protowire.ConsumeVarint(r.delta[r.sotw+1:])
	return r.delta[r.sotw+1+n:]
}
