// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"sync"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Slots of RBAC filters, as the names of their configurations have them.
const (
	askSlot   = "ask."
	auditSlot = "audit"
	denySlot  = "deny"
	allowSlot = "allow"

	overHTTP = "http."
	overTCP  = "tcp."
)

// Filters of the policies that hold somewhere, as listeners have them.
type Filters struct {
	http []*hcmv3.HttpFilter
	tcp  []*listenerv3.Filter
	// Configs are what the filters discover by their names.
	Configs *envoy.Layer
}

// HTTP filters, for one chain.
func (f Filters) HTTP() []*hcmv3.HttpFilter { return slices.Clone(f.http) }

// TCP filters, for one chain.
func (f Filters) TCP() []*listenerv3.Filter { return slices.Clone(f.tcp) }

// Discovered are the filters of chosen policies with the rules left out: RBAC
// filters discover theirs by name, so that other rules are no other listener.
// HTTP has filters for DENY and ALLOW where there is no such policy yet, too: the
// first one is then there for the next request of connections that are open.
//
// What a name stands for never changes under filters that it wasn't made for: of
// HTTP the name tells which filters stand in the listener itself. An open TCP
// connection keeps the rules that it began with, so there the name also tells the
// rules: other ones are other filter chains, and the old ones' connections end.
func Discovered(s *model.Settings, c *Chosen) Filters {
	switch {
	case c == nil || c.Empty() && !c.inline:
		return nothing()
	case c.inline:
		return Filters{http: HTTP(s, c), tcp: TCP(s, c)}
	}
	return c.made.discovered(s, c)
}

// nothing holds: everybody shares it.
var nothing = sync.OnceValue(func() Filters { return discovered((&Chosen{}).http(nil), nil, nil) })

// discovered filters. Configurations that before has already stay as they are.
func discovered(http, tcp []piece, before *envoy.Layer) Filters {
	var out Filters
	var configs []*envoy.Resource
	config := func(name string, p piece) *corev3.ExtensionConfigSource {
		// Strings and messages that are marshalled already can't fail.
		r, _ := envoy.NewResource(name, &corev3.TypedExtensionConfig{Name: name, TypedConfig: p.config})
		if old := before.Get(name); old != nil && r != nil && old.Version == r.Version {
			r = old
		}
		if r != nil {
			configs = append(configs, r)
		}
		// Without a default a listener waits for the first configuration, and a filter
		// whose configuration is gone refuses everything.
		return &corev3.ExtensionConfigSource{ConfigSource: envoy.ADS(), TypeUrls: []string{p.config.GetTypeUrl()}}
	}
	beside := fingerprint(http, func(p piece) bool { return p.slot == "" })
	for _, p := range http {
		f := &hcmv3.HttpFilter{Name: p.name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: p.config}}
		if p.slot != "" {
			f.Name = envoy.Authorizations + overHTTP + p.slot + beside
			f.ConfigType = &hcmv3.HttpFilter_ConfigDiscovery{ConfigDiscovery: config(f.GetName(), p)}
		}
		out.http = append(out.http, f)
	}
	all := fingerprint(tcp, func(piece) bool { return true })
	for _, p := range tcp {
		f := &listenerv3.Filter{Name: p.name, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: p.config}}
		if p.slot != "" {
			f.Name = envoy.Authorizations + overTCP + p.slot + all
			f.ConfigType = &listenerv3.Filter_ConfigDiscovery{ConfigDiscovery: config(f.GetName(), p)}
		}
		out.tcp = append(out.tcp, f)
	}
	out.Configs, _ = envoy.NewLayer(configs)
	return out
}

// fingerprint of some parts; empty for none.
func fingerprint(parts []piece, of func(piece) bool) string {
	h, some := sha256.New(), false
	for _, p := range parts {
		if of(p) {
			some = true
			for _, text := range []string{p.name, p.slot, p.config.GetTypeUrl(), string(p.config.GetValue())} {
				sum := sha256.Sum256([]byte(text))
				h.Write(sum[:])
			}
		}
	}
	if !some {
		return ""
	}
	return "@" + hex.EncodeToString(h.Sum(nil)[:6])
}
