// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// ProxyContainer is the name of the container, or init container, that holds
// the proxy of a pod. Its arguments tell a sidecar from a router (a gateway).
const ProxyContainer = "istio-proxy"

const (
	labelTLSMode = "security.istio.io/tlsMode"
	tlsModeIstio = "istio"
)

// podRow is a pod and what was made of it.
type podRow struct {
	pod   *corev1.Pod
	facts *facts
	// workload is the pod in the mesh; nil when it is not in it.
	workload *model.Workload
	// problems of its inbound ports.
	problems []model.Problem
}

func (r *podRow) key() key { return key{r.pod.Namespace, r.pod.Name} }

// facts are what services need of a pod. The pointer is the same as long as
// they are.
type facts struct {
	// workload lacks the inbound ports, which services give.
	workload model.Workload
	// gateway: its proxy has the certificate of its identity, which listeners for
	// mesh TLS (ISTIO_MUTUAL) show.
	gateway bool
	// hosted: the pod is in its node's network, which no sidecar can take over.
	hosted bool
	// labels in canonical form, one string for all of its endpoints.
	labels model.Labels
	// ready is false while the pod says that it isn't; what Services need of that
	// stands in their EndpointSlices.
	ready bool
	// problems of policies that select it in vain.
	problems []model.Problem
}

// factsOf returns what p is to the mesh; nil when it has ended.
func factsOf(p *corev1.Pod, s *settings, nodes localities, policies *policies) *facts {
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return nil
	}
	account := orDefault(p.Spec.ServiceAccountName, "default")
	f := &facts{
		hosted: p.Spec.HostNetwork, gateway: !p.Spec.HostNetwork && hasProxy(p, isRouter),
		labels: model.LabelsOf(p.Labels),
		ready:  ready(p),
		workload: model.Workload{
			Name: p.Name, Namespace: p.Namespace, UID: string(p.UID),
			Addresses:      podAddresses(p),
			ServiceAccount: account,
			Identity:       identity(s.TrustDomain, p.Namespace, account),
			Node:           p.Spec.NodeName,
			Locality:       nodes.podLocality(p, s.Locality),
			Network:        model.NetworkID(orDefault(p.Labels[labelNetwork], string(s.Network))),
			Labels:         p.Labels,
			Meshed:         !p.Spec.HostNetwork && meshed(p),
			Terminating:    p.DeletionTimestamp != nil,
		},
	}
	if t := p.CreationTimestamp; !t.IsZero() {
		f.workload.CreatedUnix = t.Unix()
	}
	topology, wrong := podTopology(p, s.Topology)
	f.workload.Topology = topology
	if !f.hosted {
		f.workload.MTLS, f.workload.PortMTLS, f.problems = policies.of(p.Namespace, p.Labels)
	}
	f.problems = append(f.problems, wrong...)
	return f
}

// ready is what the pod's condition says; true when it has none, which only
// files do that hold running pods.
func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return true
}

// identity is the SPIFFE ID of a service account.
func identity(trustDomain, namespace, account string) string {
	return "spiffe://" + trustDomain + "/ns/" + namespace + "/sa/" + account
}

// podAddresses in the order of the pod's status, the primary family first.
func podAddresses(p *corev1.Pod) []netip.Addr {
	var all []netip.Addr
	add := func(text string) {
		if ip, err := netip.ParseAddr(text); err == nil && !slices.Contains(all, ip.Unmap()) {
			all = append(all, ip.Unmap())
		}
	}
	for _, ip := range p.Status.PodIPs {
		add(ip.IP)
	}
	add(p.Status.PodIP)
	return all
}

// meshed is true when the pod takes mesh mutual TLS: the injector's label says
// so, or, where there is none, it has a sidecar. A gateway is no sidecar: what
// it takes is what its listeners say.
func meshed(p *corev1.Pod) bool {
	if mode, ok := p.Labels[labelTLSMode]; ok {
		return mode == tlsModeIstio
	}
	return hasProxy(p, func(c corev1.Container) bool { return !isRouter(c) })
}

func isRouter(c corev1.Container) bool { return slices.Contains(c.Args, string(model.Router)) }

// hasProxy of some kind.
func hasProxy(p *corev1.Pod, kind func(corev1.Container) bool) bool {
	is := func(c corev1.Container) bool { return c.Name == ProxyContainer && kind(c) }
	return slices.ContainsFunc(p.Spec.Containers, is) || slices.ContainsFunc(p.Spec.InitContainers, is)
}

// inMesh is true when the pod is a workload of the mesh.
func (f *facts) inMesh() bool { return f != nil && !f.hosted }

// takesTLS is true when clients use mutual TLS with this port of the pod.
func (f *facts) takesTLS(port uint16) bool {
	return f.workload.Meshed && f.workload.MTLSOn(port) != model.Disable
}

// podRows sorted by key.
type podRows []*podRow

func (r podRows) index(k key) (int, bool) {
	return slices.BinarySearchFunc(r, k, func(row *podRow, k key) int { return row.key().compare(k) })
}

// facts of a pod; nil when it is not known or has ended.
func (r podRows) facts(k key) *facts {
	i, ok := r.index(k)
	if !ok {
		return nil
	}
	return r[i].facts
}

// nextPods makes the row of each pod: the one of prev where neither the pod nor
// what stale tells has changed. The keys of pods whose facts changed come too.
func nextPods(pods []*corev1.Pod, prev podRows, stale func(*corev1.Pod) bool, make func(*corev1.Pod) *facts) (podRows, []key) {
	var changed []key
	rows := slices.Grow(podRows(nil), len(pods))
	j := 0
	for _, p := range pods {
		k := keyOf(p)
		for ; j < len(prev) && prev[j].pod != p && prev[j].key().compare(k) < 0; j++ {
			changed = append(changed, prev[j].key())
		}
		switch {
		case j == len(prev) || prev[j].pod != p && prev[j].key() != k:
			rows = append(rows, &podRow{pod: p, facts: make(p)})
			changed = append(changed, k)
			continue
		case prev[j].pod == p && !stale(p):
			rows = append(rows, prev[j])
		default:
			row := *prev[j]
			row.pod, row.facts = p, sharedFacts(row.facts, make(p))
			rows = append(rows, &row)
			if row.facts != prev[j].facts {
				changed = append(changed, k)
			}
		}
		j++
	}
	for ; j < len(prev); j++ {
		changed = append(changed, prev[j].key())
	}
	return rows, changed
}

// sharedFacts returns old when now says the same.
func sharedFacts(old, now *facts) *facts {
	if old != nil && now != nil && reflect.DeepEqual(old, now) {
		return old
	}
	return now
}

// byNamespace splits sorted keys into the runs of one namespace.
func byNamespace(keys []key) [][]key {
	slices.SortFunc(keys, key.compare)
	keys = slices.Compact(keys)
	var runs [][]key
	for len(keys) > 0 {
		n := slices.IndexFunc(keys, func(k key) bool { return k.namespace != keys[0].namespace })
		if n < 0 {
			n = len(keys)
		}
		runs = append(runs, keys[:n])
		keys = keys[n:]
	}
	return runs
}

// among is true when sorted keys of one namespace hold a name.
func among(keys []key, name string) bool {
	_, ok := slices.BinarySearchFunc(keys, name, func(k key, name string) int { return strings.Compare(k.name, name) })
	return ok
}
