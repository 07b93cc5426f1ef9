// SPDX-License-Identifier: Apache-2.0

package patch

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// inline writes extension configurations (EXTENSION_CONFIG) into the HTTP
// filters that would discover them by their name: the listener that holds the
// filter then brings them. A configuration that no filter asks for is told.
func (s *Set) inline() []model.Problem {
	configs := map[string]*corev3.TypedExtensionConfig{}
	for _, p := range s.patches {
		if c, ok := p.value.(*corev3.TypedExtensionConfig); ok {
			configs[c.GetName()] = c
		}
	}
	used := map[string]bool{}
	var problems []model.Problem
	var kept []*Patch
	for _, p := range s.patches {
		f, ok := p.value.(*hcmv3.HttpFilter)
		if ok && f.GetConfigDiscovery() != nil {
			c := configs[f.GetName()]
			if c == nil {
				problems = append(problems, p.problem("filter "+f.GetName()+" discovers a configuration that no EXTENSION_CONFIG patch adds, so it is left out; add one of that name"))
				continue
			}
			used[c.GetName()] = true
			f.ConfigType = &hcmv3.HttpFilter_TypedConfig{TypedConfig: c.GetTypedConfig()}
		}
		kept = append(kept, p)
	}
	s.patches = kept
	for _, p := range s.patches {
		if c, ok := p.value.(*corev3.TypedExtensionConfig); ok && !used[c.GetName()] {
			problems = append(problems, p.problem("no HTTP filter that is patched in discovers the configuration "+c.GetName()+"; add one with config_discovery and this name"))
		}
	}
	return problems
}
