// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"fmt"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// name of a route, which access logs show: the rule's, and the match's after a
// dot. A rule of the Gateway API is named by its object and its place, too.
func (r rule) name(m *model.HTTPMatch) string {
	name := r.Name
	if r.routing.BySpecificity {
		if name == "" {
			name = strconv.Itoa(r.index)
		}
		name = r.routing.Namespace + "." + r.routing.Name + "." + name
	}
	if m.Name != "" {
		name += "." + m.Name
	}
	return name
}

// operation is what traces call requests of the route: where they go, and the path.
func (r rule) operation(m *model.HTTPMatch) string {
	path := "/*"
	switch m.Path.Kind {
	case model.MatchExact, model.MatchRegex, model.MatchTemplate:
		path = m.Path.Value
	case model.MatchPrefix, model.MatchPathPrefix:
		path = m.Path.Value + "*"
	}
	to, port := r.routing.Name, r.Port
	if len(r.Destinations) == 1 {
		to, port = string(r.Destinations[0].Host), r.port(r.Destinations[0])
	}
	return fmt.Sprintf("%s:%d%s", to, port, path)
}

// apis are where kinds are served, by which tools find the object of a route.
var apis = map[string]string{
	"VirtualService": "networking.istio.io/v1",
	"HTTPRoute":      "gateway.networking.k8s.io/v1",
	"GRPCRoute":      "gateway.networking.k8s.io/v1",
}

// configured tells tools which object a route comes from, as Istio does.
func configured(o model.Origin) *corev3.Metadata {
	api, ok := apis[o.Kind]
	if !ok {
		return nil
	}
	kind := strings.ToLower(o.Kind)
	if o.Kind == "VirtualService" {
		kind = "virtual-service"
	}
	path := "/apis/" + api + "/namespaces/" + o.Namespace + "/" + kind + "/" + o.Name
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
		"istio": {Fields: map[string]*structpb.Value{"config": structpb.NewStringValue(path)}},
	}}
}
