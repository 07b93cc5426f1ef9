// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// refuseTerminating is the first route of what comes by mesh TLS. It matches
// while the runtime key is set, also on connections that are open already, and
// says that the request reached nobody, so the caller's sidecar sends it to
// another pod. Callers outside the mesh, who would not repeat it, are served.
func refuseTerminating() *routev3.Route {
	match := envoy.EveryPath()
	match.RuntimeFraction = &corev3.RuntimeFractionalPercent{
		DefaultValue: &typev3.FractionalPercent{Denominator: typev3.FractionalPercent_HUNDRED},
		RuntimeKey:   envoy.TerminatingKey,
	}
	return &routev3.Route{
		Name:  "terminating",
		Match: match,
		Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
			Status: 503,
			Body:   &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: "the pod is being deleted"}},
		}},
		ResponseHeadersToAdd: []*corev3.HeaderValueOption{{
			Header:       &corev3.HeaderValue{Key: unreachedHeader, Value: "1"},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}},
	}
}

// Farewell is what the agent of a pod that is being deleted is told: to refuse
// what callers still send, because others are there for all that it serves. It
// is nil for all other pods.
func Farewell(m *model.Mesh, w *model.Workload) (*envoy.Resource, error) {
	if w == nil || !w.Terminating || !w.Meshed || len(w.Inbound) == 0 {
		return nil, nil
	}
	for _, p := range w.Inbound {
		if !othersServe(m, w, p) {
			return nil, nil
		}
	}
	return envoy.NewResource(envoy.TerminatingKey, &runtimev3.Runtime{
		Name:  envoy.TerminatingKey,
		Layer: &structpb.Struct{Fields: map[string]*structpb.Value{envoy.TerminatingKey: structpb.NewNumberValue(100)}},
	})
}

// othersServe tells whether others of the member serve what a port of the workload does.
func othersServe(m *model.Mesh, w *model.Workload, p model.InboundPort) bool {
	at := slices.IndexFunc(m.Services, func(st model.ServiceState) bool {
		return st.Service.Hostname == p.Service && st.Service.Namespace == w.Namespace
	})
	if at < 0 {
		return false
	}
	st := m.Services[at]
	i := slices.IndexFunc(st.Service.Ports, func(have model.Port) bool { return have.Number == p.ServicePort })
	return i >= 0 && slices.ContainsFunc(st.Endpoints[i].Endpoints, func(e model.Endpoint) bool {
		return !e.Draining && e.Cluster == m.Settings.Cluster && e.Workload != w.Namespace+"/"+w.Name
	})
}
