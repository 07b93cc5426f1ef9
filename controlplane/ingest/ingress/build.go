// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/keep"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

const (
	// Controller is what an IngressClass of ours names (Istio's name).
	Controller = "istio.io/ingress-controller"
	// ClassAnnotation named a class before Ingresses had a field for it.
	ClassAnnotation = "kubernetes.io/ingress.class"

	kindIngress  = "Ingress"
	defaultClass = "istio"
	// defaultSelector is the gateway's label of Istio's own charts.
	defaultSelector = "ingressgateway"

	invalid      = "Invalid"
	notSupported = "NotSupported"
	unknown      = "UnknownDestination"
)

// Build makes the Ingresses' part of a mesh. Prev is the last output, or nil; it
// decides which pointers are shared, never what the output says.
func Build(in Input, prev *Output) *Output {
	if prev == nil {
		prev = &Output{}
	}
	b := &builder{in: &in, services: map[string]*corev1.Service{}}
	for _, s := range in.Services {
		b.services[s.Namespace+"/"+s.Name] = s
	}
	classes := map[string]string{}
	for _, c := range in.Classes {
		classes[c.Name] = c.Spec.Controller
	}
	for _, o := range in.Ingresses {
		if ours(&in.Settings.Ingress, classes, o) {
			b.ingress(o)
		}
	}
	slices.SortStableFunc(b.out.Gateways, func(x, y *model.Gateway) int { return x.Older(y.Origin) })
	slices.SortStableFunc(b.out.Routings, func(x, y *model.Routing) int { return x.Older(y.Origin) })
	return &Output{
		Gateways: keep.Share(prev.Gateways, b.out.Gateways),
		Routings: keep.Share(prev.Routings, b.out.Routings),
		Problems: keep.Slice(prev.Problems, b.out.Problems),
		Served:   keep.Slice(prev.Served, b.out.Served),
	}
}

// ours is true when an Ingress is this controller's: by the annotation, else by
// its class, else, where the mesh says so, because it names none.
func ours(s *model.IngressSettings, classes map[string]string, o *networking.Ingress) bool {
	if s.Mode == model.NoIngresses {
		return false
	}
	if name, ok := o.Annotations[ClassAnnotation]; ok {
		class := s.Class
		if class == "" {
			class = defaultClass
		}
		return name == class
	}
	if name := o.Spec.IngressClassName; name != nil {
		return classes[*name] == Controller
	}
	return s.Mode == model.UnclassedIngresses
}

type builder struct {
	in       *Input
	services map[string]*corev1.Service
	out      Output
}

func (b *builder) tell(o *networking.Ingress, field, reason, format string, args ...any) {
	b.out.Problems = append(b.out.Problems, model.Problem{
		Kind: kindIngress, Namespace: o.Namespace, Name: o.Name, Field: field, Reason: reason, Message: fmt.Sprintf(format, args...),
	})
}

// ingress becomes a gateway, with a listener for plain requests and one for each
// certificate, and a routing for each of its hosts.
func (b *builder) ingress(o *networking.Ingress) {
	origin := model.Origin{Kind: kindIngress, Namespace: o.Namespace, Name: o.Name}
	if t := o.GetCreationTimestamp(); !t.IsZero() {
		origin.CreatedUnix = t.Unix()
	}
	b.out.Served = append(b.out.Served, o.Namespace+"/"+o.Name)
	selector := b.in.Settings.Ingress.Selector
	if selector == "" {
		selector = defaultSelector
	}
	g := &model.Gateway{Origin: origin, Selector: model.LabelsOf(map[string]string{"istio": selector})}
	g.Listeners = append(g.Listeners, model.Listener{Name: "http-80-ingress", Port: 80, Hosts: []model.ListenerHost{{Host: "*"}}})
	for i := range o.Spec.TLS {
		t := &o.Spec.TLS[i]
		if t.SecretName == "" {
			b.tell(o, fmt.Sprintf("spec.tls[%d].secretName", i), invalid, "there is no certificate, so nothing listens for these hosts: name a Secret of the gateway's namespace")
			continue
		}
		g.Listeners = append(g.Listeners, model.Listener{
			Name: fmt.Sprintf("https-443-ingress-%d", i), Port: 443, Protocol: model.ListenHTTPS, Hosts: listenerHosts(t.Hosts),
			TLS: &model.ListenerTLS{Credentials: []model.CredentialRef{{Name: t.SecretName}}},
		})
	}
	b.out.Gateways = append(b.out.Gateways, g)
	var at []model.GatewayRef
	for _, l := range g.Listeners {
		at = append(at, model.GatewayRef{Namespace: g.Namespace, Name: g.Name, Listener: l.Name})
	}
	b.routings(o, origin, at)
}

func listenerHosts(names []string) []model.ListenerHost {
	if len(names) == 0 {
		return []model.ListenerHost{{Host: "*"}}
	}
	var out []model.ListenerHost
	for _, n := range names {
		out = append(out, model.ListenerHost{Host: n})
	}
	return out
}
