// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"cmp"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/entries"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Annotations and labels on Services that change what a mesh does with them.
const (
	annotationDistribution = "networking.istio.io/traffic-distribution"
	annotationExportTo     = "networking.istio.io/exportTo"
	labelUseWaypoint       = "istio.io/use-waypoint"
)

// unsupportedAnnotations mean something to Istio and nothing here yet.
var unsupportedAnnotations = []string{
	"alpha.istio.io/canonical-serviceaccounts",
	"alpha.istio.io/kubernetes-serviceaccounts",
	"traffic.istio.io/nodeSelector",
}

// ServiceAnnotations and NamespaceAnnotations are the annotations that Build reads.
var (
	ServiceAnnotations   = append([]string{annotationDistribution, annotationExportTo}, unsupportedAnnotations...)
	NamespaceAnnotations = []string{annotationDistribution}
)

// draft is a service that is being put together.
type draft struct {
	service model.Service
	ports   []draftPort
	// udp ports, which are for gateways only.
	udp []draftPort
	// targets are the pods' ports that it sends to, ready or not.
	targets []target
	// claims on WorkloadEntries.
	claims   []entries.Claim
	problems []model.Problem
}

// draftPort is a port with its endpoints.
type draftPort struct {
	model.Port
	endpoints []model.Endpoint
	// beyond are subsets that other members serve.
	beyond []model.BeyondSubset
	// at is where in endpoints an address is; made when imports are merged.
	at map[place]int
}

// place is an address, or a pod, with a port.
type place struct {
	name string
	port uint16
}

// port returns the port of that number, or nil.
func (d *draft) port(number uint16) *draftPort {
	i := slices.IndexFunc(d.ports, func(p draftPort) bool { return p.Number == number })
	if i < 0 {
		return nil
	}
	return &d.ports[i]
}

// draftLocal begins with a Service object. Distribution is what its namespace
// says of traffic distribution.
func draftLocal(o *corev1.Service, suffix, distribution string) *draft {
	d := &draft{service: model.Service{
		Hostname: hostname(keyOf(o), suffix),
		Name:     o.Name, Namespace: o.Namespace,
		Local: true, Labels: model.LabelsOf(o.Labels),
		Origin: model.Origin{Kind: kindService, Namespace: o.Namespace, Name: o.Name, CreatedUnix: o.CreationTimestamp.Unix()},
	}}
	switch {
	case o.Spec.Type == corev1.ServiceTypeExternalName:
		d.service.Kind = model.ExternalName
		d.service.ExternalName = strings.ToLower(strings.TrimSuffix(o.Spec.ExternalName, "."))
	case o.Spec.ClusterIP == corev1.ClusterIPNone:
		d.service.Kind = model.Headless
	default:
		d.service.Addresses = clusterIPs(o)
	}
	d.addPorts(o)
	d.service.PreferClose = d.prefersClose(o, distribution)
	d.findUnsupported(o)
	return d
}

func (d *draft) add(o *corev1.Service, field, reason, format string, args ...any) {
	d.problems = append(d.problems, problem(kindService, o, field, reason, format, args...))
}

// show reads who may see the service.
func (d *draft) show(o *corev1.Service, fallback []string) {
	var exportTo []string
	if value := o.Annotations[annotationExportTo]; strings.TrimSpace(value) != "" {
		exportTo = strings.Split(value, ",")
	}
	var unknown []string
	d.service.Visible, unknown = model.VisibilityOf(exportTo, o.Namespace, fallback)
	for _, to := range unknown {
		d.add(o, "metadata.annotations["+annotationExportTo+"]", Invalid, `%q is no namespace; use the name of one, ".", "~" or "*"`, to)
	}
}

// clusterIPs are the virtual addresses, in the order of the Service's families.
func clusterIPs(o *corev1.Service) []netip.Addr {
	var all []netip.Addr
	for _, text := range append(slices.Clone(o.Spec.ClusterIPs), o.Spec.ClusterIP) {
		if ip, err := netip.ParseAddr(text); err == nil && !slices.Contains(all, ip) {
			all = append(all, ip)
		}
	}
	return all
}

func (d *draft) addPorts(o *corev1.Service) {
	for i := range o.Spec.Ports {
		p := &o.Spec.Ports[i]
		protocol, ok := protocolOf(p)
		if p.Protocol == corev1.ProtocolUDP && p.Port > 0 && p.Port <= 65535 {
			d.udp = append(d.udp, draftPort{Port: model.Port{Name: p.Name, Number: uint16(p.Port)}})
		}
		if !ok {
			continue
		}
		field := fmt.Sprintf("spec.ports[%d]", i)
		switch {
		case p.Port < 1 || p.Port > 65535:
			d.add(o, field+".port", Invalid, "%d is no port; use 1 to 65535", p.Port)
			continue
		case d.port(uint16(p.Port)) != nil:
			d.add(o, field+".port", Conflict, "port %d is there before and holds; remove one of them", p.Port)
			continue
		}
		d.ports = append(d.ports, draftPort{Port: model.Port{Name: p.Name, Number: uint16(p.Port), Protocol: protocol}})
	}
	byNumber := func(a, b draftPort) int { return cmp.Compare(a.Number, b.Number) }
	slices.SortFunc(d.ports, byNumber)
	slices.SortFunc(d.udp, byNumber)
}

// prefersClose reads spec.trafficDistribution, else the annotation, else the
// annotation of the namespace.
func (d *draft) prefersClose(o *corev1.Service, namespace string) bool {
	field, value := "metadata.annotations["+annotationDistribution+"]", o.Annotations[annotationDistribution]
	if value == "" {
		value = namespace
	}
	if o.Spec.TrafficDistribution != nil {
		field, value = "spec.trafficDistribution", *o.Spec.TrafficDistribution
	}
	switch strings.ToLower(value) {
	case "preferclose", "prefersamezone":
		return true
	case "prefersamenode":
		d.add(o, field, NotSupported, "PreferSameNode is taken as PreferSameZone; use PreferSameZone")
		return true
	case "", "any":
		return false
	default:
		d.add(o, field, Invalid, "%q is unknown and not used; use PreferClose or PreferSameZone", value)
		return false
	}
}

func (d *draft) findUnsupported(o *corev1.Service) {
	for _, name := range unsupportedAnnotations {
		if _, ok := o.Annotations[name]; !ok {
			continue
		}
		d.add(o, "metadata.annotations["+name+"]", NotSupported, "the annotation is not honoured; remove it")
	}
	if waypoint := o.Labels[labelUseWaypoint]; waypoint != "" && waypoint != "none" {
		d.add(o, "metadata.labels["+labelUseWaypoint+"]", NotSupported, "there are no waypoints; calls go to the pods; remove the label")
	}
	if policy := o.Spec.InternalTrafficPolicy; policy != nil && *policy == corev1.ServiceInternalTrafficPolicyLocal {
		d.add(o, "spec.internalTrafficPolicy", NotSupported, "calls through the mesh go to all nodes; use Cluster")
	}
	if o.Spec.SessionAffinity == corev1.ServiceAffinityClientIP {
		d.add(o, "spec.sessionAffinity", NotSupported, "calls through the mesh are not pinned to a pod; use None")
	}
}

// state ends the draft. Parts that say what prev says are prev's.
func (d *draft) state(prev model.ServiceState) model.ServiceState {
	d.service.Ports = nil
	sets := make([]*model.EndpointSet, len(d.ports))
	same := prev.Service != nil && len(prev.Endpoints) == len(sets)
	for i, p := range d.ports {
		d.service.Ports = append(d.service.Ports, p.Port)
		slices.SortFunc(p.endpoints, compareEndpoints)
		sets[i] = &model.EndpointSet{Endpoints: p.endpoints, Beyond: p.sortedBeyond()}
		if old := prev.EndpointsOf(p.Number); old != nil && old.Equal(sets[i]) {
			sets[i] = old
		}
		same = same && sets[i] == prev.Endpoints[i]
	}
	d.service.UDP = nil
	for _, p := range d.udp {
		d.service.UDP = append(d.service.UDP, p.Port)
	}
	slices.Sort(d.service.Identities)
	d.service.Identities = slices.Compact(d.service.Identities)
	slices.Sort(d.service.Aliases)
	slices.Sort(d.service.SubjectNames)
	d.service.SubjectNames = slices.Compact(d.service.SubjectNames)
	next := model.ServiceState{Service: sharedService(prev.Service, &d.service), Endpoints: sets}
	if same {
		next.Endpoints = prev.Endpoints
	}
	next.UDP = d.datagrams(prev)
	return next
}

// datagrams are the endpoints of UDP ports.
func (d *draft) datagrams(prev model.ServiceState) []*model.EndpointSet {
	same := len(prev.UDP) == len(d.udp)
	var sets []*model.EndpointSet
	for i, p := range d.udp {
		slices.SortFunc(p.endpoints, compareEndpoints)
		set := &model.EndpointSet{Endpoints: p.endpoints}
		if i < len(prev.UDP) && slices.Equal(prev.UDP[i].Endpoints, p.endpoints) {
			set = prev.UDP[i]
		}
		same = same && set == prev.UDP[i]
		sets = append(sets, set)
	}
	if same {
		return prev.UDP
	}
	return sets
}

// sharedService returns old when now says the same.
func sharedService(old, now *model.Service) *model.Service {
	if old != nil && reflect.DeepEqual(old, now) {
		return old
	}
	return now
}
