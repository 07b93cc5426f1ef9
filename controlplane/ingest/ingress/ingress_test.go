// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

func TestServed(t *testing.T) {
	annotated := func(class string) networking.Ingress {
		return networking.Ingress{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{ClassAnnotation: class}}}
	}
	classed := func(class string) networking.Ingress {
		return networking.Ingress{Spec: networking.IngressSpec{IngressClassName: &class}}
	}
	for name, c := range map[string]struct {
		settings model.IngressSettings
		ingress  networking.Ingress
		want     bool
	}{
		"Annotated":             {ingress: annotated("istio"), want: true},
		"AnnotatedForOthers":    {ingress: annotated("nginx")},
		"AnnotatedByOwnClass":   {settings: model.IngressSettings{Class: "edge"}, ingress: annotated("edge"), want: true},
		"AnnotatedByOldClass":   {settings: model.IngressSettings{Class: "edge"}, ingress: annotated("istio")},
		"Classed":               {ingress: classed("ours"), want: true},
		"ClassedForOthers":      {ingress: classed("theirs")},
		"ClassedByNobody":       {ingress: classed("missing")},
		"Unclassed":             {},
		"UnclassedIsTheMeshs":   {settings: model.IngressSettings{Mode: model.UnclassedIngresses}, want: true},
		"OthersStayOthers":      {settings: model.IngressSettings{Mode: model.UnclassedIngresses}, ingress: annotated("nginx")},
		"OthersStayOthersClass": {settings: model.IngressSettings{Mode: model.UnclassedIngresses}, ingress: classed("theirs")},
		"Off":                   {settings: model.IngressSettings{Mode: model.NoIngresses}, ingress: annotated("istio")},
	} {
		t.Run(name, func(t *testing.T) {
			classes := map[string]string{"ours": Controller, "theirs": "k8s.io/ingress-nginx"}
			if got := ours(&c.settings, classes, &c.ingress); got != c.want {
				t.Errorf("served: %v", got)
			}
		})
	}
}

func TestPath(t *testing.T) {
	exact, prefix, other := networking.PathTypeExact, networking.PathTypePrefix, networking.PathTypeImplementationSpecific
	for name, c := range map[string]struct {
		kind *networking.PathType
		path string
		want model.Match
	}{
		"Exact":            {&exact, "/a", model.Match{Kind: model.MatchExact, Value: "/a"}},
		"Prefix":           {&prefix, "/a", model.Match{Kind: model.MatchPathPrefix, Value: "/a"}},
		"PrefixWithSlash":  {&prefix, "/a/", model.Match{Kind: model.MatchPathPrefix, Value: "/a"}},
		"PrefixOfAll":      {&prefix, "/", model.Match{}},
		"Specific":         {&other, "/a", model.Match{Kind: model.MatchExact, Value: "/a"}},
		"SpecificSlash":    {&other, "/a/*", model.Match{Kind: model.MatchPrefix, Value: "/a"}},
		"SpecificDot":      {&other, "/a.*", model.Match{Kind: model.MatchPrefix, Value: "/a"}},
		"SpecificAll":      {&other, "/*", model.Match{}},
		"NoKind":           {nil, "/a", model.Match{Kind: model.MatchExact, Value: "/a"}},
		"NothingAtAll":     {nil, "", model.Match{}},
		"SpecificOnlyDots": {&other, ".*", model.Match{}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, path(&networking.HTTPIngressPath{Path: c.path, PathType: c.kind})); d != "" {
				t.Error(d)
			}
		})
	}
}

const fronts = `
metadata: {name: front, namespace: shop, annotations: {kubernetes.io/ingress.class: istio}}
spec:
  tls: [{hosts: [a.example], secretName: cert}, {hosts: [b.example]}, {secretName: all}]
  defaultBackend: {service: {name: web, port: {name: none}}}
  rules:
    - host: A.example
      http:
        paths:
          - {path: /x, pathType: Exact, backend: {service: {name: web, port: {name: http}}}}
          - {path: /y, pathType: Prefix, backend: {service: {name: missing, port: {number: 1}}}}
          - {path: /z, pathType: Prefix, backend: {resource: {kind: Bucket, name: files}}}
    - host: empty.example
`

// TestBuild prints what becomes of one Ingress with everything in it.
func TestBuild(t *testing.T) {
	o := &networking.Ingress{}
	if err := yaml.UnmarshalStrict([]byte(fronts), o); err != nil {
		t.Fatal(err)
	}
	web := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}
	web.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80}}
	in := Input{Ingresses: []*networking.Ingress{o}, Services: []*corev1.Service{web}, Settings: &model.Settings{DomainSuffix: "cluster.local"}}
	out := Build(in, nil)
	var got strings.Builder
	for _, g := range out.Gateways {
		fmt.Fprintf(&got, "gateway %s %s\n", g.Ref(), g.Selector)
		for _, l := range g.Listeners {
			fmt.Fprintf(&got, "  %s %d %v %v\n", l.Name, l.Port, l.Hosts, l.TLS != nil && l.TLS.Credentials[0].Name != "")
		}
	}
	for _, r := range out.Routings {
		fmt.Fprintf(&got, "routing %v at %d\n", r.Hosts, len(r.Gateways))
		for _, h := range r.HTTP {
			m := model.Match{}
			if len(h.Matches) > 0 {
				m = h.Matches[0].Path
			}
			d := h.Destinations[0]
			fmt.Fprintf(&got, "  %d %q %s:%d invalid=%v\n", m.Kind, m.Value, d.Host, d.Port, d.Invalid != "")
		}
	}
	for _, p := range out.Problems {
		fmt.Fprintf(&got, "problem %s %s\n", p.Field, p.Reason)
	}
	want := `gateway {shop front } istio=ingressgateway
  http-80-ingress 80 [{ *}] false
  https-443-ingress-0 443 [{ a.example}] true
  https-443-ingress-2 443 [{ *}] true
routing [*] at 3
  0 "" web.shop.svc.cluster.local:0 invalid=true
routing [a.example] at 3
  1 "/x" web.shop.svc.cluster.local:80 invalid=false
  3 "/y" missing.shop.svc.cluster.local:0 invalid=true
  3 "/z" invalid:0 invalid=true
  0 "" web.shop.svc.cluster.local:0 invalid=true
routing [empty.example] at 3
  0 "" web.shop.svc.cluster.local:0 invalid=true
problem spec.tls[1].secretName Invalid
problem spec.rules[0].http.paths[1].backend UnknownDestination
problem spec.rules[0].http.paths[2].backend NotSupported
problem spec.defaultBackend UnknownDestination
`
	if d := cmp.Diff(want, got.String()); d != "" {
		t.Error(d)
	}
	if again := Build(in, out); again.Gateways[0] != out.Gateways[0] || again.Routings[0] != out.Routings[0] {
		t.Error("what did not change is another pointer")
	}
}
