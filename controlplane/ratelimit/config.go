// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	chainv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/filter_chain/v3"
	"google.golang.org/protobuf/proto"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
)

// Prefix of the names of filters and resources.
const prefix = "policy.isthmesh.dev/ratelimitpolicy/"

// Name of a policy's filter and of its configuration.
func Name(l *model.RateLimit) string { return prefix + l.Namespace + "." + l.Name }

// Named is true when a resource is a policy's.
func Named(resource string, l *model.RateLimit) bool {
	return strings.HasPrefix(resource, prefix) && resource == Name(l)
}

// Resource is the configuration of a policy's filter: a chain of filters in which
// one for each rule tells whether it matches, and the last one counts. So everything about
// a policy changes in one step.
func Resource(s *model.Settings, l *model.RateLimit) (*envoy.Resource, error) {
	var filters []*corev3.TypedExtensionConfig
	add := func(name string, m proto.Message) {
		filters = append(filters, &corev3.TypedExtensionConfig{Name: name, TypedConfig: envoy.Any(m)})
	}
	marks := make([]mark, len(l.Rules))
	for i := range l.Rules {
		m := mark{id: l.Namespace + "/" + l.Name + "/" + l.Rules[i].Name}
		filter, metadata, key := policy.Matched(s, "ratelimit_"+l.Namespace+"_"+l.Name+"_"+strconv.Itoa(i)+"_", m.id, &l.Rules[i].Match)
		m.metadata, m.key = metadata, key
		marks[i] = m
		add("rule."+l.Rules[i].Name, filter)
	}
	if l.Service != nil {
		add("limit", asking(l, marks))
	} else {
		add("limit", counting(l, marks))
	}
	config := &chainv3.FilterChainConfig{DefaultFilterChain: &chainv3.FilterChain{Filters: filters}}
	return envoy.NewResource(Name(l), &corev3.TypedExtensionConfig{Name: Name(l), TypedConfig: envoy.Any(config)})
}

// mark is what a rule leaves on the requests that it matches.
type mark struct {
	// id of the rule; metadata and key are where it is left.
	id, metadata, key string
}

// discovered is how a filter gets its configuration. Until it has one that it can use, and
// while a proxy refuses it, nothing is limited.
func discovered() *corev3.ExtensionConfigSource {
	nothing := envoy.Any(&chainv3.FilterChainConfig{})
	return &corev3.ExtensionConfigSource{ConfigSource: envoy.ADS(), DefaultConfig: nothing, TypeUrls: []string{nothing.GetTypeUrl()}}
}
