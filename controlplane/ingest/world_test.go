// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"fmt"
	"slices"
	"time"

	securityapi "istio.io/api/security/v1beta1"
	typeapi "istio.io/api/type/v1beta1"
	security "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// world draws objects out of a small set of names, so that they meet.
type world struct{ t *rapid.T }

func pick[T any](w world, what string, from ...T) T { return rapid.SampledFrom(from).Draw(w.t, what) }

func (w world) yes(what string) bool { return rapid.Bool().Draw(w.t, what) }

func (w world) meta(names ...string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: pick(w, "namespace", "a", "b", "istio-system"), Name: pick(w, "name", names...),
		CreationTimestamp: metav1.NewTime(time.Unix(int64(pick(w, "age", 1, 2, 3)), 0)),
	}
}

// set puts o into objects in place of the one that has its key.
func set[T metav1.Object](objects []T, o T) []T {
	return append(without(objects, o), o)
}

func without[T metav1.Object](objects []T, o T) []T {
	return slices.DeleteFunc(slices.Clone(objects), func(have T) bool {
		return have.GetNamespace() == o.GetNamespace() && have.GetName() == o.GetName()
	})
}

// edit changes one thing of in.
func (w world) edit(in *ingest.Input) {
	switch pick(w, "edit", "service", "slice", "slice", "pod", "pod", "node", "namespace", "policy", "export",
		"imports", "config", "settings", "delete", "shuffle", "entries", "entries", "configuration", "configuration") {
	case "service":
		in.Services = set(in.Services, w.service())
	case "slice":
		in.EndpointSlices = set(in.EndpointSlices, w.slice())
	case "pod":
		in.Pods = set(in.Pods, w.pod())
	case "node":
		in.Nodes = set(in.Nodes, w.node())
	case "namespace":
		in.Namespaces = set(in.Namespaces, w.namespace())
	case "policy":
		in.PeerAuthentications = set(in.PeerAuthentications, w.policy())
	case "export":
		in.ServiceExports = set(in.ServiceExports, &mcs.ServiceExport{ObjectMeta: w.meta("s", "t")})
	case "imports":
		in.Imports = w.imports(in.Imports)
	case "config":
		in.MeshConfig = pick(w, "config", "", "rootNamespace: a", "enableAutoMtls: false", "trustDomain: other", "ingressClass: x\nnone: 1",
			"discoverySelectors: [{matchLabels: {seen: \"1\"}}]", "defaultServiceExportTo: [.]")
	case "settings":
		in.Settings.Network = pick[model.NetworkID](w, "network", "", "n1", "n2")
		in.Settings.Locality.Region = pick(w, "region", "", "eu")
	case "entries":
		w.editEntries(in)
	case "configuration":
		w.editConfiguration(in)
	case "delete":
		w.remove(in)
	case "shuffle":
		*in = w.shuffled(*in)
	}
}

func (w world) service() *corev1.Service {
	o := &corev1.Service{ObjectMeta: w.meta("s", "t")}
	o.Spec.Type = pick(w, "type", corev1.ServiceTypeClusterIP, corev1.ServiceTypeClusterIP, corev1.ServiceTypeExternalName)
	o.Spec.ClusterIP = pick(w, "ip", "10.96.0.1", "None", "")
	o.Spec.IPFamilies = pick(w, "families", nil, []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol})
	for _, name := range []string{"http", "tcp"} {
		if w.yes(name) {
			o.Spec.Ports = append(o.Spec.Ports, corev1.ServicePort{Name: name, Port: int32(pick(w, "port", 80, 81))})
		}
	}
	if w.yes("selects") {
		o.Spec.Selector = map[string]string{"app": "x"}
	}
	if w.yes("annotated") {
		o.Annotations = map[string]string{pick(w, "annotation", "networking.istio.io/exportTo", "networking.istio.io/traffic-distribution"): "."}
	}
	return o
}

func (w world) slice() *discoveryv1.EndpointSlice {
	o := &discoveryv1.EndpointSlice{ObjectMeta: w.meta("s-1", "s-2", "t-1"), AddressType: discoveryv1.AddressTypeIPv4}
	if w.yes("labelled") {
		o.Labels = map[string]string{discoveryv1.LabelServiceName: pick(w, "owner", "s", "t")}
	}
	for _, name := range []string{"http", "tcp"} {
		port := int32(pick(w, "target", 8080, 8081))
		o.Ports = append(o.Ports, discoveryv1.EndpointPort{Name: &name, Port: &port})
	}
	for i := range pick(w, "endpoints", 0, 1, 3) {
		ready, node := w.yes("ready"), pick(w, "node", "x", "y")
		e := discoveryv1.Endpoint{NodeName: &node, Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &ready, Terminating: &ready}}
		name := pick(w, "pod", "p", "q", "")
		e.Addresses = []string{fmt.Sprintf("10.0.0.%d", i)}
		if name != "" {
			e.Addresses = []string{"10.0.1." + fmt.Sprint(name[0])}
			e.TargetRef = &corev1.ObjectReference{Kind: "Pod", Name: name}
		}
		o.Endpoints = append(o.Endpoints, e)
	}
	return o
}

func (w world) pod() *corev1.Pod {
	o := &corev1.Pod{ObjectMeta: w.meta("p", "q")}
	o.Labels = pick(w, "labels", nil, map[string]string{"app": "x"}, map[string]string{"app": "y", "security.istio.io/tlsMode": "istio"})
	o.Spec.NodeName = pick(w, "node", "x", "y")
	o.Spec.HostNetwork = pick(w, "host", false, false, true)
	o.Spec.ServiceAccountName = pick(w, "account", "", "one", "two")
	o.Status.Phase = pick(w, "phase", corev1.PodRunning, corev1.PodRunning, corev1.PodFailed)
	if w.yes("is not ready") {
		o.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}
	}
	if w.yes("has an address") {
		o.Status.PodIP = "10.0.1." + fmt.Sprint(o.Name[0])
	}
	return o
}

func (w world) node() *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name:   pick(w, "name", "x", "y"),
		Labels: map[string]string{corev1.LabelTopologyZone: pick(w, "zone", "", "z1", "z2")},
	}}
}

func (w world) namespace() *corev1.Namespace {
	o := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: pick(w, "name", "a", "istio-system")}}
	if w.yes("labelled") {
		o.Labels = map[string]string{"topology.istio.io/network": "n2", "seen": "1"}
		o.Annotations = map[string]string{"networking.istio.io/traffic-distribution": "PreferClose"}
	}
	return o
}

func (w world) policy() *security.PeerAuthentication {
	mtls := func() *securityapi.PeerAuthentication_MutualTLS {
		return &securityapi.PeerAuthentication_MutualTLS{Mode: securityapi.PeerAuthentication_MutualTLS_Mode(pick(w, "mode", 0, 1, 2, 3))}
	}
	o := &security.PeerAuthentication{ObjectMeta: w.meta("l", "m")}
	o.Spec.Mtls = mtls()
	if w.yes("selects") {
		o.Spec.Selector = &typeapi.WorkloadSelector{MatchLabels: map[string]string{"app": pick(w, "app", "x", "y")}}
	}
	if w.yes("ports") {
		o.Spec.PortLevelMtls = map[uint32]*securityapi.PeerAuthentication_MutualTLS{8080: mtls()}
	}
	return o
}

func (w world) imports(last *model.Imports) *model.Imports {
	next := &model.Imports{}
	for _, cluster := range []model.ClusterID{"north", "west"} {
		if w.yes("no member") {
			continue
		}
		m := model.ImportedMember{
			Cluster: cluster, Network: pick[model.NetworkID](w, "network", "n1", "n9"), TrustDomain: string(cluster) + ".example",
			Cordoned: pick(w, "cordoned", false, false, true),
			Gateways: []model.GatewayAddress{{Address: pick(w, "gateway", "192.0.2.1", "192.0.2.2", "127.0.0.1"), Port: 15443}},
		}
		for _, name := range []string{"s", "u"} {
			if w.yes("exported") {
				m.Services = append(m.Services, w.export(name))
			}
		}
		if last != nil && len(last.Members) > 0 && w.yes("same services") {
			m.Services = last.Members[0].Services
		}
		next.Members = append(next.Members, m)
	}
	return next
}

func (w world) export(name string) *model.Export {
	var subsets []model.ExportSubset
	for _, n := range []string{"v1", "v2"} {
		if w.yes("subset") {
			subsets = append(subsets, model.ExportSubset{
				Name: n, Labels: pick[model.Labels](w, "labels", "v=1", "v=2"), Zones: []model.ZoneCount{{Ready: uint32(pick(w, "ready in it", 0, 1, 5))}},
			})
		}
	}
	return &model.Export{
		Namespace: "a", Name: name, CreatedUnix: int64(pick(w, "age", 1, 2)),
		ServiceAccounts: []string{pick(w, "account", "a/one", "a/two", "b/one")},
		Ports: []model.ExportPort{{
			Number: uint16(pick(w, "port", 80, 81)), Protocol: pick(w, "protocol", model.HTTP, model.TCP),
			Zones:     []model.ZoneCount{{Ready: uint32(pick(w, "ready", 0, 1, 5))}},
			Subsets:   subsets,
			Endpoints: []model.ExportEndpoint{{Address: pick(w, "address", "10.9.0.1", "10.0.0.1", "::1"), Port: 8080, MTLS: true, Labels: pick[model.Labels](w, "labels", "", "v=1")}},
		}},
	}
}

// remove takes one object away.
func (w world) remove(in *ingest.Input) {
	switch pick(w, "kind", "service", "slice", "pod", "policy", "export", "imports", "node", "namespace") {
	case "service":
		in.Services = less(w, in.Services)
	case "slice":
		in.EndpointSlices = less(w, in.EndpointSlices)
	case "pod":
		in.Pods = less(w, in.Pods)
	case "policy":
		in.PeerAuthentications = less(w, in.PeerAuthentications)
	case "export":
		in.ServiceExports = less(w, in.ServiceExports)
	case "imports":
		in.Imports = nil
	case "node":
		in.Nodes = less(w, in.Nodes)
	case "namespace":
		in.Namespaces = less(w, in.Namespaces)
	}
}

func less[T metav1.Object](w world, objects []T) []T {
	if len(objects) == 0 {
		return objects
	}
	return without(objects, pick(w, "object", objects...))
}

// shuffled returns in with its objects in another order.
func (w world) shuffled(in ingest.Input) ingest.Input {
	in.Services = rapid.Permutation(in.Services).Draw(w.t, "services")
	in.EndpointSlices = rapid.Permutation(in.EndpointSlices).Draw(w.t, "slices")
	in.Pods = rapid.Permutation(in.Pods).Draw(w.t, "pods")
	in.Nodes = rapid.Permutation(in.Nodes).Draw(w.t, "nodes")
	in.Namespaces = rapid.Permutation(in.Namespaces).Draw(w.t, "namespaces")
	in.PeerAuthentications = rapid.Permutation(in.PeerAuthentications).Draw(w.t, "policies")
	in.ServiceExports = rapid.Permutation(in.ServiceExports).Draw(w.t, "exports")
	in.Istio.ServiceEntries = rapid.Permutation(in.Istio.ServiceEntries).Draw(w.t, "entries")
	in.Istio.WorkloadEntries = rapid.Permutation(in.Istio.WorkloadEntries).Draw(w.t, "machines")
	w.shuffledConfiguration(&in)
	return in
}
