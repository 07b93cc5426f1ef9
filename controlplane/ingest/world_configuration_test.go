// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"reflect"

	networking "istio.io/client-go/pkg/apis/networking/v1"
	"pgregory.net/rapid"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// editConfiguration changes one object that says how services are called.
func (w world) editConfiguration(in *ingest.Input) {
	switch pick(w, "configuration", "virtual service", "virtual service", "destination rule", "gateway", "sidecar", "route", "less") {
	case "virtual service":
		o := &networking.VirtualService{ObjectMeta: w.meta("v", "w")}
		w.read(&o.Spec, `{"hosts":["s"],"http":[{"route":[{"destination":{"host":"t"}}]}]}`,
			`{"hosts":["s","t"],"gateways":["mesh","g"],"http":[{"delegate":{"name":"w","namespace":"a"}},{"redirect":{"uri":"/"}}]}`,
			`{"http":[{"match":[{"uri":{"prefix":"/x"}}],"route":[{"destination":{"host":"s"}}]}]}`,
			`{"hosts":["bad host"],"exportTo":["."],"tcp":[{"route":[{"destination":{"host":"t"}}]}]}`)
		in.Istio.VirtualServices = set(in.Istio.VirtualServices, o)
	case "destination rule":
		o := &networking.DestinationRule{ObjectMeta: w.meta("d", "e")}
		w.read(&o.Spec, `{"host":"s","subsets":[{"name":"x","labels":{"app":"x"}}]}`, `{"host":"s","exportTo":["."],"trafficPolicy":{"tls":{"mode":"MUTUAL"}}}`)
		in.Istio.DestinationRules = set(in.Istio.DestinationRules, o)
	case "gateway":
		o := &networking.Gateway{ObjectMeta: w.meta("g", "h")}
		w.read(&o.Spec, `{"selector":{"app":"x"},"servers":[{"port":{"number":80,"name":"http","protocol":"HTTP"},"hosts":["*"]}]}`, `{"servers":[]}`)
		in.Istio.Gateways = set(in.Istio.Gateways, o)
	case "sidecar":
		o := &networking.Sidecar{ObjectMeta: w.meta("c", "k")}
		w.read(&o.Spec, `{"egress":[{"hosts":["./*"]}]}`, `{"workloadSelector":{"labels":{"app":"x"}},"egress":[{"hosts":["*/*"]}]}`)
		in.Istio.Sidecars = set(in.Istio.Sidecars, o)
	case "route":
		o := &gatewayv1.HTTPRoute{ObjectMeta: w.meta("r")}
		kind, port := gatewayv1.Kind("Service"), gatewayv1.PortNumber(80)
		o.Spec.ParentRefs = []gatewayv1.ParentReference{{Kind: &kind, Name: "s", Group: new(gatewayv1.Group)}}
		o.Spec.Rules = []gatewayv1.HTTPRouteRule{{BackendRefs: []gatewayv1.HTTPBackendRef{{BackendRef: gatewayv1.BackendRef{
			BackendObjectReference: gatewayv1.BackendObjectReference{Name: gatewayv1.ObjectName(pick(w, "backend", "s", "t")), Port: &port},
		}}}}}
		in.GatewayAPI.HTTPRoutes = set(in.GatewayAPI.HTTPRoutes, o)
	case "less":
		in.Istio.VirtualServices = less(w, in.Istio.VirtualServices)
		in.Istio.DestinationRules = less(w, in.Istio.DestinationRules)
		in.GatewayAPI.HTTPRoutes = less(w, in.GatewayAPI.HTTPRoutes)
	}
}

// read one of the texts into a spec.
func (w world) read(spec interface{ UnmarshalJSON([]byte) error }, texts ...string) {
	if err := spec.UnmarshalJSON([]byte(pick(w, "spec", texts...))); err != nil {
		w.t.Fatal(err)
	}
}

func (w world) shuffledConfiguration(in *ingest.Input) {
	in.Istio.VirtualServices = rapid.Permutation(in.Istio.VirtualServices).Draw(w.t, "virtual services")
	in.Istio.DestinationRules = rapid.Permutation(in.Istio.DestinationRules).Draw(w.t, "destination rules")
	in.Istio.Gateways = rapid.Permutation(in.Istio.Gateways).Draw(w.t, "gateways")
	in.Istio.Sidecars = rapid.Permutation(in.Istio.Sidecars).Draw(w.t, "sidecars")
	in.GatewayAPI.HTTPRoutes = rapid.Permutation(in.GatewayAPI.HTTPRoutes).Draw(w.t, "routes")
}

// checkConfiguration: it is sorted by age, and what says the same is the same pointer.
func checkConfiguration(t *rapid.T, last, next *model.Mesh) {
	checkParts(t, last.Routings, next.Routings)
	checkParts(t, last.Policies, next.Policies)
	checkParts(t, last.Gateways, next.Gateways)
	checkParts(t, last.Scopes, next.Scopes)
}

func checkParts[T interface {
	comparable
	Object() model.Origin
}](t *rapid.T, last, next []T) {
	for i, v := range next {
		if i > 0 && next[i-1].Object().Older(v.Object()) > 0 {
			t.Fatalf("%v comes before %v", next[i-1].Object(), v.Object())
		}
		for _, old := range last {
			if old.Object() == v.Object() && old != v && reflect.DeepEqual(old, v) {
				t.Fatalf("%v says what it said and is another pointer", v.Object())
			}
		}
	}
}
