// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	exprv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/rate_limit_descriptors/expr/v3"
	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/type/metadata/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
)

// ruleKey is the first entry of every descriptor: which rule counts.
const ruleKey = "rule"

// absent is the value of a key for requests that don't have what it asks for. They
// share a counter: else whoever leaves out a header would not be counted.
const absent = "-"

// actions make a descriptor of a request that a rule has matched, and none of others.
func actions(m mark, keys []model.RateKey) []*routev3.RateLimit_Action {
	out := []*routev3.RateLimit_Action{found(ruleKey, m.metadata, "", m.key)}
	for i, k := range keys {
		out = append(out, action(keyName(i, k), k))
	}
	return out
}

// keyName of a key in descriptors, as a service sees it.
func keyName(i int, k model.RateKey) string {
	if k.Kind == model.KeyAddress {
		return "remote_address" // Envoy's own
	}
	name := [...]string{"source.principal", "remote.ip", "request.path", "request.method", "request.host", "request.headers", "request.auth.claims"}[min(k.Kind, model.KeyClaim)]
	for _, p := range k.Path {
		name += "[" + p + "]"
	}
	return strconv.Itoa(i) + "." + name
}

func action(name string, k model.RateKey) *routev3.RateLimit_Action {
	switch k.Kind {
	case model.KeyClaim:
		metadata, path := policy.Claims(k.Path...)
		return found(name, metadata, absent, path...)
	case model.KeyHeader:
		header := quoted(strings.Join(k.Path, ""))
		return computed(name, header+" in request.headers ? request.headers["+header+"] : "+quoted(absent))
	case model.KeyPath:
		return computed(name, "request.url_path")
	case model.KeyMethod:
		return computed(name, "request.method")
	case model.KeyHost:
		return computed(name, "request.host")
	case model.KeyAddress:
		return &routev3.RateLimit_Action{ActionSpecifier: &routev3.RateLimit_Action_RemoteAddress_{RemoteAddress: &routev3.RateLimit_Action_RemoteAddress{}}}
	}
	return computed(name, "has(connection.uri_san_peer_certificate) ? connection.uri_san_peer_certificate : "+quoted(absent))
}

// found is what stands in dynamic metadata; otherwise, when it is text, stands in
// for what isn't there, else there is no descriptor.
func found(name, metadata, otherwise string, path ...string) *routev3.RateLimit_Action {
	key := &metadatav3.MetadataKey{Key: metadata}
	for _, p := range path {
		key.Path = append(key.Path, &metadatav3.MetadataKey_PathSegment{Segment: &metadatav3.MetadataKey_PathSegment_Key{Key: p}})
	}
	return &routev3.RateLimit_Action{ActionSpecifier: &routev3.RateLimit_Action_Metadata{Metadata: &routev3.RateLimit_Action_MetaData{
		DescriptorKey: name, MetadataKey: key, DefaultValue: otherwise, Source: routev3.RateLimit_Action_MetaData_DYNAMIC,
	}}}
}

// computed is the value of an expression in CEL over Envoy's attributes.
func computed(name, expression string) *routev3.RateLimit_Action {
	return &routev3.RateLimit_Action{ActionSpecifier: &routev3.RateLimit_Action_Extension{Extension: &corev3.TypedExtensionConfig{
		Name: "envoy.rate_limit_descriptors.expr",
		TypedConfig: envoy.Any(&exprv3.Descriptor{
			DescriptorKey: name, ExprSpecifier: &exprv3.Descriptor_Text{Text: expression},
		}),
	}}}
}

// quoted is text in CEL. Names of headers, which it is for, have neither controls
// nor anything beyond ASCII.
func quoted(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}
