// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"slices"

	k8snetworking "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	policyv1alpha1 "github.com/isthmesh/isthmesh/api/policy/v1alpha1"
	"github.com/isthmesh/isthmesh/controlplane/ingest/ratelimit"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// custom holds the objects of kinds that custom resources define: sorted by
// namespace and name, one per both, those that can be read.
type custom struct {
	istio   Istio
	gateway GatewayAPI
	imports []*mcs.ServiceImport
	// ingresses and their classes are no custom resources, but treated alike.
	ingresses []*k8snetworking.Ingress
	classes   []*k8snetworking.IngressClass
	limits    []*policyv1alpha1.RateLimitPolicy

	// given is what these were made of, and problems what was wrong, by kind as in given.
	given    customInput
	problems [][]model.Problem
}

type customInput struct {
	istio     Istio
	gateway   GatewayAPI
	imports   []*mcs.ServiceImport
	ingresses []*k8snetworking.Ingress
	classes   []*k8snetworking.IngressClass
	limits    []*policyv1alpha1.RateLimitPolicy
}

// next sorts the objects of in. What did not change is the same slice as in c.
func (c *custom) next(in *Input) custom {
	n := custom{given: customInput{in.Istio, in.GatewayAPI, in.ServiceImports, in.Ingresses, in.IngressClasses, in.RateLimitPolicies}}
	s := &sorter{last: c.problems}
	now, was, is, old := &n.given, &c.given, &n, c
	is.istio.VirtualServices = sorted(s, "VirtualService", now.istio.VirtualServices, was.istio.VirtualServices, old.istio.VirtualServices)
	is.istio.DestinationRules = sorted(s, "DestinationRule", now.istio.DestinationRules, was.istio.DestinationRules, old.istio.DestinationRules)
	is.istio.Gateways = sorted(s, "Gateway", now.istio.Gateways, was.istio.Gateways, old.istio.Gateways)
	is.istio.ServiceEntries = sorted(s, "ServiceEntry", now.istio.ServiceEntries, was.istio.ServiceEntries, old.istio.ServiceEntries)
	is.istio.Sidecars = sorted(s, "Sidecar", now.istio.Sidecars, was.istio.Sidecars, old.istio.Sidecars)
	is.istio.WorkloadEntries = sorted(s, "WorkloadEntry", now.istio.WorkloadEntries, was.istio.WorkloadEntries, old.istio.WorkloadEntries)
	is.istio.WorkloadGroups = sorted(s, "WorkloadGroup", now.istio.WorkloadGroups, was.istio.WorkloadGroups, old.istio.WorkloadGroups)
	is.istio.ProxyConfigs = sorted(s, "ProxyConfig", now.istio.ProxyConfigs, was.istio.ProxyConfigs, old.istio.ProxyConfigs)
	is.istio.EnvoyFilters = sorted(s, "EnvoyFilter", now.istio.EnvoyFilters, was.istio.EnvoyFilters, old.istio.EnvoyFilters)
	is.istio.AuthorizationPolicies = sorted(s, "AuthorizationPolicy", now.istio.AuthorizationPolicies, was.istio.AuthorizationPolicies, old.istio.AuthorizationPolicies)
	is.istio.RequestAuthentications = sorted(s, "RequestAuthentication", now.istio.RequestAuthentications, was.istio.RequestAuthentications, old.istio.RequestAuthentications)
	is.istio.WasmPlugins = sorted(s, "WasmPlugin", now.istio.WasmPlugins, was.istio.WasmPlugins, old.istio.WasmPlugins)
	is.istio.TrafficExtensions = sorted(s, "TrafficExtension", now.istio.TrafficExtensions, was.istio.TrafficExtensions, old.istio.TrafficExtensions)
	is.istio.Telemetries = sorted(s, "Telemetry", now.istio.Telemetries, was.istio.Telemetries, old.istio.Telemetries)
	is.gateway.GatewayClasses = sorted(s, "GatewayClass", now.gateway.GatewayClasses, was.gateway.GatewayClasses, old.gateway.GatewayClasses)
	is.gateway.Gateways = sorted(s, "Gateway", now.gateway.Gateways, was.gateway.Gateways, old.gateway.Gateways)
	is.gateway.ListenerSets = sorted(s, "ListenerSet", now.gateway.ListenerSets, was.gateway.ListenerSets, old.gateway.ListenerSets)
	is.gateway.HTTPRoutes = sorted(s, "HTTPRoute", now.gateway.HTTPRoutes, was.gateway.HTTPRoutes, old.gateway.HTTPRoutes)
	is.gateway.GRPCRoutes = sorted(s, "GRPCRoute", now.gateway.GRPCRoutes, was.gateway.GRPCRoutes, old.gateway.GRPCRoutes)
	is.gateway.TLSRoutes = sorted(s, "TLSRoute", now.gateway.TLSRoutes, was.gateway.TLSRoutes, old.gateway.TLSRoutes)
	is.gateway.TCPRoutes = sorted(s, "TCPRoute", now.gateway.TCPRoutes, was.gateway.TCPRoutes, old.gateway.TCPRoutes)
	is.gateway.UDPRoutes = sorted(s, "UDPRoute", now.gateway.UDPRoutes, was.gateway.UDPRoutes, old.gateway.UDPRoutes)
	is.gateway.ReferenceGrants = sorted(s, "ReferenceGrant", now.gateway.ReferenceGrants, was.gateway.ReferenceGrants, old.gateway.ReferenceGrants)
	is.gateway.BackendTLSPolicies = sorted(s, "BackendTLSPolicy", now.gateway.BackendTLSPolicies, was.gateway.BackendTLSPolicies, old.gateway.BackendTLSPolicies)
	is.imports = sorted(s, kindServiceImport, now.imports, was.imports, old.imports)
	is.ingresses = sorted(s, "Ingress", now.ingresses, was.ingresses, old.ingresses)
	is.classes = sorted(s, "IngressClass", now.classes, was.classes, old.classes)
	is.limits = sorted(s, ratelimit.Kind, now.limits, was.limits, old.limits)
	n.problems = s.problems
	return n
}

// sorter collects the Problems of one kind after the other.
type sorter struct{ last, problems [][]model.Problem }

// sorted returns the objects of a kind as they are to be used. Rows is what was
// made of was, the objects that were given before.
func sorted[T object](s *sorter, kind string, given, was, rows []T) []T {
	i := len(s.problems)
	if i < len(s.last) && sameSlice(given, was) {
		s.problems = append(s.problems, s.last[i])
		return rows
	}
	next, problems := given, []model.Problem(nil)
	if !slices.IsSortedFunc(given, strictly[T]) {
		next, problems = arrange(kind, given)
	}
	// A policy that can't be read still guards, as package security has it.
	guards := kind == "AuthorizationPolicy" || kind == "RequestAuthentication"
	if !guards && slices.ContainsFunc(next, isMalformed) {
		for _, o := range next {
			if isMalformed(o) {
				problems = append(problems, problem(kind, o, "spec", Invalid,
					"the object can't be read and has no effect; correct it: %s", o.GetAnnotations()[MalformedAnnotation]))
			}
		}
		next = slices.DeleteFunc(slices.Clone(next), isMalformed)
	}
	if kind != "AuthorizationPolicy" {
		for _, o := range next {
			problems = append(problems, strayDryRun(kind, o)...)
		}
	}
	s.problems = append(s.problems, problems)
	if slices.Equal(next, rows) {
		return rows
	}
	return next
}

// strictly orders by key, and has equal keys out of order.
func strictly[T object](a, b T) int {
	if c := keyOf(a).compare(keyOf(b)); c != 0 {
		return c
	}
	return -1
}

func isMalformed[T object](o T) bool { return o.GetAnnotations()[MalformedAnnotation] != "" }

// strayDryRun tells of an annotation that only AuthorizationPolicies have.
func strayDryRun(kind string, o metav1.Object) []model.Problem {
	if _, there := o.GetAnnotations()[dryRunAnnotation]; !there {
		return nil
	}
	return []model.Problem{problem(kind, o, "metadata.annotations["+dryRunAnnotation+"]", Invalid,
		"only AuthorizationPolicies can be tried without effect, and this %s is in force; remove the annotation", kind)}
}

// inert tells who wrote objects that have no effect yet.
func (c *custom) inert() []model.Problem {
	return inert("TrafficExtension", c.istio.TrafficExtensions)
}

func inert[T object](kind string, objects []T) []model.Problem {
	var problems []model.Problem
	for _, o := range objects {
		problems = append(problems, problem(kind, o, "spec", NotSupported,
			"this version of the mesh doesn't act on objects of kind %s; remove it, or expect that it has no effect", kind))
	}
	return problems
}
