// SPDX-License-Identifier: Apache-2.0

package gatewayapi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/ingest/gatewayapi"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/test/golden"
)

// class is in every scenario.
const class = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: istio, generation: 1}
spec: {controllerName: istio.io/gateway-controller}
---
`

// TestScenarios builds the objects of each file. Files: objects.yaml,
// credentials.yaml (what Secrets and ConfigMaps hold), want.
func TestScenarios(t *testing.T) {
	golden.Archives(t, "want", []string{"objects.yaml", "credentials.yaml"}, func(t *testing.T, parts map[string][]byte) string {
		in := read(t, parts)
		got := show(gatewayapi.Build(in, nil))
		compareReversed(t, in, got)
		return got
	})
}

// credential as a scenario writes it; what is filled is there.
type credential struct {
	Namespace, Name, Invalid   string
	ConfigMap, Certificate, CA bool
}

func read(t *testing.T, parts map[string][]byte) gatewayapi.Input {
	t.Helper()
	all, err := manifest.Read([]byte(class + string(parts["objects.yaml"])))
	if err != nil {
		t.Fatal(err)
	}
	g := all.GatewayAPI
	in := gatewayapi.Input{
		Settings:       &model.Settings{DomainSuffix: "cluster.local"},
		GatewayClasses: g.GatewayClasses, Gateways: g.Gateways, ListenerSets: g.ListenerSets,
		HTTPRoutes: g.HTTPRoutes, GRPCRoutes: g.GRPCRoutes, TLSRoutes: g.TLSRoutes, TCPRoutes: g.TCPRoutes, UDPRoutes: g.UDPRoutes,
		ReferenceGrants: g.ReferenceGrants, BackendTLSPolicies: g.BackendTLSPolicies,
		Namespaces: all.Namespaces, Services: all.Services, ServiceImports: all.ServiceImports,
	}
	var credentials []credential
	if err := yaml.UnmarshalStrict(parts["credentials.yaml"], &credentials); err != nil {
		t.Fatal(err)
	}
	for _, c := range credentials {
		m := &model.Credential{CredentialRef: model.CredentialRef{Namespace: c.Namespace, Name: c.Name, ConfigMap: c.ConfigMap}, Invalid: c.Invalid}
		if c.Certificate {
			m.Certificate = []byte("certificate")
		}
		if c.CA {
			m.CA = []byte("ca")
		}
		in.Credentials = append(in.Credentials, m)
	}
	return in
}

// compareReversed: the order of objects means nothing.
func compareReversed(t *testing.T, in gatewayapi.Input, want string) {
	t.Helper()
	reverse(&in.Gateways, &in.HTTPRoutes)
	slices.Reverse(in.ListenerSets)
	slices.Reverse(in.BackendTLSPolicies)
	slices.Reverse(in.Services)
	slices.Reverse(in.TLSRoutes)
	if diff := cmp.Diff(want, show(gatewayapi.Build(in, nil))); diff != "" {
		t.Errorf("another order of objects gives something else:\n%s", diff)
	}
}

func reverse(g *[]*gateway.Gateway, r *[]*gateway.HTTPRoute) {
	*g, *r = slices.Clone(*g), slices.Clone(*r)
	slices.Reverse(*g)
	slices.Reverse(*r)
}

// show prints what matters of an output, for proxies that are ready.
func show(o *gatewayapi.Output) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, g := range o.Gateways {
		p("gateway %s/%s selects %s client=%v", g.Namespace, g.Name, g.Selector, g.ClientCertificate)
		for _, l := range g.Listeners {
			p("  listener %s :%d protocol=%d hosts=%s invalid=%t%s", l.Name, l.Port, l.Protocol, hosts(l.Hosts), l.Invalid, tls(l.TLS))
		}
	}
	for _, r := range o.Routings {
		p("routing %s %s/%s hosts=%s at=%s consumer=%q port=%d", r.Kind, r.Namespace, r.Name, strings.Join(r.Hosts, ","), refs(r.Gateways), r.ConsumerNamespace, r.ParentPort)
		for _, rule := range r.HTTP {
			p("  http %s", text(rule))
		}
		for _, rule := range r.TLS {
			p("  tls %s", text(rule))
		}
		for _, rule := range slices.Concat(r.TCP, r.UDP) {
			p("  l4 %s", text(rule))
		}
	}
	for _, d := range o.Policies {
		p("policy %s %s", d.Host, text(d.Policy))
	}
	for _, r := range o.References {
		p("reads %s/%s configmap=%t", r.Namespace, r.Name, r.ConfigMap)
	}
	ip := gateway.IPAddressType
	ready := gatewayapi.Deployed{Ready: 1, Addresses: []gateway.GatewayStatusAddress{{Type: &ip, Value: "192.0.2.1"}}}
	for _, c := range o.Statuses.Classes {
		p("status GatewayClass %s%s", c.Name, conditions(c.Conditions))
	}
	for _, g := range o.Statuses.Gateways {
		s := g.With(ready)
		p("status Gateway %s/%s sets=%d%s", g.Namespace, g.Name, *s.AttachedListenerSets, conditions(s.Conditions))
		for _, l := range s.Listeners {
			p("  listener %s routes=%d kinds=%s%s", l.Name, l.AttachedRoutes, kinds(l.SupportedKinds), conditions(l.Conditions))
		}
		if d := g.Deployment; d != nil {
			p("  deployment %v type=%s asks=%v labels=%v annotations=%v existing=%q", d.Ports, d.ServiceType, d.Addresses, d.Labels, d.Annotations, d.Existing)
		}
	}
	for _, l := range o.Statuses.ListenerSets {
		s := l.With(ready)
		p("status ListenerSet %s/%s%s", l.Namespace, l.Name, conditions(s.Conditions))
		for _, e := range s.Listeners {
			p("  listener %s routes=%d kinds=%s%s", e.Name, e.AttachedRoutes, kinds(e.SupportedKinds), conditions(e.Conditions))
		}
	}
	for _, r := range o.Statuses.Routes {
		p("status %s %s/%s", r.Kind, r.Namespace, r.Name)
		for _, parent := range r.Parents {
			p("  parent %s%s", parent.ParentRef.Name, conditions(parent.Conditions))
		}
	}
	for _, s := range o.Statuses.Policies {
		p("status BackendTLSPolicy %s/%s", s.Namespace, s.Name)
		for _, a := range s.Ancestors {
			p("  ancestor %s%s", a.AncestorRef.Name, conditions(a.Conditions))
		}
	}
	for _, problem := range o.Problems {
		p("problem %s %s/%s %s %s: %s", problem.Kind, problem.Namespace, problem.Name, problem.Field, problem.Reason, problem.Message)
	}
	return b.String()
}

func hosts(all []model.ListenerHost) string {
	var out []string
	for _, h := range all {
		out = append(out, h.Host)
	}
	return strings.Join(out, ",")
}

func tls(t *model.ListenerTLS) string {
	if t == nil {
		return ""
	}
	return " tls=" + text(*t)
}

func refs(all []model.GatewayRef) string {
	var out []string
	for _, r := range all {
		out = append(out, r.Namespace+"/"+r.Name+"#"+r.Listener)
	}
	return strings.Join(out, ",")
}

func kinds(all []gateway.RouteGroupKind) string {
	var out []string
	for _, k := range all {
		out = append(out, string(k.Kind))
	}
	return strings.Join(out, ",")
}

// conditions in one line each; a message tells what mends.
func conditions(all []metav1.Condition) string {
	var b strings.Builder
	for _, c := range all {
		fmt.Fprintf(&b, "\n    %s=%s %s", c.Type, c.Status, c.Reason)
		if c.Message != "" {
			fmt.Fprintf(&b, ": %s", c.Message)
		}
	}
	return b.String()
}

// text leaves out what is empty.
func text(v any) string {
	data, err := yaml.Marshal(v)
	if err != nil {
		return err.Error()
	}
	var m any
	if err := yaml.Unmarshal(data, &m); err != nil {
		return err.Error()
	}
	return compact(m)
}

func compact(v any) string {
	switch v := v.(type) {
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		var parts []string
		for _, k := range keys {
			if s := compact(v[k]); s != "" {
				parts = append(parts, k+":"+s)
			}
		}
		if len(parts) == 0 {
			return ""
		}
		return "{" + strings.Join(parts, " ") + "}"
	case []any:
		var parts []string
		for _, e := range v {
			parts = append(parts, compact(e))
		}
		if len(parts) == 0 {
			return ""
		}
		return "[" + strings.Join(parts, " ") + "]"
	case nil:
		return ""
	case bool:
		if !v {
			return ""
		}
	case float64:
		if v == 0 {
			return ""
		}
	case string:
		if v == "" {
			return ""
		}
	}
	return fmt.Sprint(v)
}
