// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/policy/verdict"
)

// judgeConnection by the policies of a filter chain.
func (w *walk) judgeConnection(filters []*listenerv3.Filter) error {
	whole := slices.Clone(filters)
	for i, f := range filters {
		if f.GetConfigDiscovery() == nil {
			continue
		}
		config, err := w.discovered(f.GetName(), f.GetConfigDiscovery())
		if err != nil {
			return fmt.Errorf("closed: %w", err)
		}
		whole[i] = &listenerv3.Filter{Name: f.GetName(), ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: config}}
	}
	return w.judged(verdict.TCP(whole, w.facts()))
}

// judgeRequest by the policies of a connection manager.
func (w *walk) judgeRequest(filters []*hcmv3.HttpFilter) error {
	whole := slices.Clone(filters)
	for i, f := range filters {
		if f.GetConfigDiscovery() == nil {
			continue
		}
		config, err := w.discovered(f.GetName(), f.GetConfigDiscovery())
		if err != nil {
			return fmt.Errorf("500: %w", err)
		}
		whole[i] = &hcmv3.HttpFilter{Name: f.GetName(), ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: config}}
	}
	return w.judged(verdict.HTTP(whole, w.facts()))
}

// discovered configuration of a filter; without one Envoy refuses everything.
func (w *walk) discovered(name string, source *corev3.ExtensionConfigSource) (*anypb.Any, error) {
	config := source.GetDefaultConfig()
	if w.view.Get(envoy.ExtensionType, name) != nil {
		c, err := get[*corev3.TypedExtensionConfig](w.view, envoy.ExtensionType, name)
		if err != nil {
			return nil, err
		}
		config = c.GetTypedConfig()
	}
	switch {
	case config == nil:
		return nil, fmt.Errorf("filter %s has no configuration", name)
	case !slices.Contains(source.GetTypeUrls(), config.GetTypeUrl()):
		return nil, fmt.Errorf("filter %s takes no %s", name, config.GetTypeUrl())
	}
	return config, nil
}

func (w *walk) judged(v verdict.Verdict) error {
	w.result.Asks = append(w.result.Asks, v.Asks...)
	if v.Why != verdict.Undecided {
		w.result.Policy = v.Why
	}
	if v.Allowed {
		return nil
	}
	if v.Status == 0 {
		return fmt.Errorf("closed: %s", v.Why)
	}
	return fmt.Errorf("%d: %s", v.Status, v.Why)
}

// facts of the call that policies look at.
func (w *walk) facts() verdict.Call {
	c := verdict.Call{
		Source: w.call.From, Remote: w.remote, Destination: w.call.To, ServerName: w.call.ServerName,
		Host: w.call.Host, Method: cmp.Or(w.call.Method, "GET"), Path: cmp.Or(w.call.Path, "/"), Headers: map[string][]string{},
		Claims: w.call.Claims, BadToken: w.call.BadToken,
	}
	if w.result.Verified {
		c.Peer = w.call.Peer
	}
	for k, v := range w.call.Headers {
		c.Headers[strings.ToLower(k)] = []string{v}
	}
	return c
}
