// SPDX-License-Identifier: Apache-2.0

package entries

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	networkingapi "istio.io/api/networking/v1alpha3"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/registration"
)

// Labels and annotations that are read, beside the labels that selectors ask for.
const (
	labelNetwork        = "topology.istio.io/network"
	labelLocality       = "topology.istio.io/locality"
	labelLegacyLocality = "istio-locality"
	labelTLSMode        = "security.istio.io/tlsMode"
	labelAllocate       = "networking.istio.io/enable-autoallocate-ip"
	tlsModeMesh         = "istio"
	defaultAccount      = "default"
)

// heaviest is the most that one endpoint may weigh: Envoy refuses a port whose
// weights together don't fit into 32 bits.
const heaviest = 1_000_000

// unixScheme begins the address of a Unix socket.
const unixScheme = "unix://"

// Policies says which mutual TLS a workload takes (PeerAuthentication).
type Policies interface {
	Of(namespace string, labels map[string]string) (model.MTLSMode, []model.PortMTLS, []model.Problem)
}

// Machine is somebody who answers: a WorkloadEntry, or an endpoint that is
// written into a ServiceEntry. Its pointer changes when anything in it changes.
type Machine struct {
	model.Origin
	UID    string
	Labels map[string]string
	// Endpoint lacks port and MTLS, which are the service's and the port's.
	Endpoint model.Endpoint
	// Ports of the machine by the name of a service's port.
	Ports map[string]uint32
	// Account that it was given, and Identity when it has a proxy; or empty.
	Account, Identity string
	// Meshed: it takes mutual TLS, in these modes.
	Meshed   bool
	MTLS     model.MTLSMode
	PortMTLS []model.PortMTLS
	// Ready is false when its health checks say so.
	Ready bool
}

// Machines are the WorkloadEntries, sorted by namespace and name.
type Machines struct {
	All      []*Machine
	Problems []model.Problem

	given    []*networking.WorkloadEntry
	groups   []*networking.WorkloadGroup
	settings *model.Settings
	policies Policies
}

// ReadMachines reads WorkloadEntries, and checks WorkloadGroups, of which package
// registration makes WorkloadEntries. Both are sorted by namespace
// and name. Prev may be nil; what says the same as there keeps its pointer.
func ReadMachines(given []*networking.WorkloadEntry, groups []*networking.WorkloadGroup, s *model.Settings, p Policies, prev *Machines) *Machines {
	if prev == nil {
		prev = &Machines{}
	}
	if prev.settings == s && prev.policies == p && slices.Equal(prev.given, given) && slices.Equal(prev.groups, groups) {
		return prev
	}
	next := &Machines{given: given, groups: groups, settings: s, policies: p}
	before := make(map[[2]string]*Machine, len(prev.All))
	for _, m := range prev.All {
		before[[2]string{m.Namespace, m.Name}] = m
	}
	for _, o := range given {
		r := &report{of: originOf(kindWorkloadEntry, o)}
		m := readMachine(r, "spec", &o.Spec, o.Labels, s)
		if m != nil {
			var more []model.Problem
			m.UID, m.Ready = string(o.UID), healthy(o)
			m.MTLS, m.PortMTLS, more = p.Of(o.Namespace, m.Labels)
			m.Endpoint.Workload = o.Namespace + "/" + o.Name
			if old := before[[2]string{o.Namespace, o.Name}]; old != nil && reflect.DeepEqual(old, m) {
				m = old
			}
			next.All = append(next.All, m)
			next.Problems = append(next.Problems, more...)
		}
		next.Problems = append(next.Problems, r.problems...)
	}
	for _, o := range groups {
		next.Problems = append(next.Problems, checkGroup(o)...)
	}
	if slices.Equal(prev.All, next.All) {
		next.All = prev.All
	}
	return next
}

// In returns the machines of a namespace.
func (m *Machines) In(namespace string) []*Machine {
	at, _ := slices.BinarySearchFunc(m.All, namespace, func(m *Machine, ns string) int { return strings.Compare(m.Namespace, ns) })
	rest := m.All[at:]
	n := slices.IndexFunc(rest, func(m *Machine) bool { return m.Namespace != namespace })
	if n < 0 {
		return rest
	}
	return rest[:n]
}

// healthy is what a machine's health checks say, where it has them.
func healthy(o *networking.WorkloadEntry) bool {
	if o.Annotations[registration.HealthAnnotation] != "true" {
		return true
	}
	for _, c := range o.Status.GetConditions() {
		if c.GetType() == registration.Healthy {
			return c.GetStatus() == "True"
		}
	}
	return false
}

// readMachine reads the specification at field of r's object; nil when nothing
// can be sent there. Labels are those beside the specification's own.
func readMachine(r *report, field string, spec *networkingapi.WorkloadEntry, labels map[string]string, s *model.Settings) *Machine {
	address, why := readAddress(spec.GetAddress())
	switch {
	case spec.GetAddress() == "" && spec.GetNetwork() != "":
		readLabels(r, field, spec.GetLabels())
		r.add(field+".address", notSupported,
			"an endpoint that is only a network can't be reached; give its address, or export the service there with a ServiceExport")
		return nil
	case why != "":
		r.add(field+".address", invalid, "%q is left out: %s", spec.GetAddress(), why)
		return nil
	}
	if len(spec.GetLabels()) > 0 {
		labels = maps.Clone(labels)
		if labels == nil {
			labels = map[string]string{}
		}
		maps.Copy(labels, spec.GetLabels())
	}
	m := &Machine{Origin: r.of, Labels: labels, Ports: map[string]uint32{}, Ready: true, Account: spec.GetServiceAccount()}
	m.Endpoint = model.Endpoint{
		Address: address, Weight: spec.GetWeight(), Cluster: s.Cluster, Labels: readLabels(r, field, labels),
		Locality: ParseLocality(first(spec.GetLocality(), labels[labelLocality], labels[labelLegacyLocality])),
		Network:  model.NetworkID(first(spec.GetNetwork(), labels[labelNetwork], string(s.Network))),
	}
	if m.Endpoint.Weight > heaviest {
		r.add(field+".weight", noEffect, "%d is taken as %d, which is the most; give smaller weights in the same proportion", m.Endpoint.Weight, heaviest)
	}
	m.Endpoint.Weight = min(max(m.Endpoint.Weight, 1), heaviest)
	for _, name := range slices.Sorted(maps.Keys(spec.GetPorts())) {
		port := spec.GetPorts()[name]
		switch {
		case port == 0 || port > 65535:
			r.add(fmt.Sprintf("%s.ports[%s]", field, name), invalid, "%d is no port; use 1 to 65535", port)
		case strings.HasPrefix(address, unixScheme):
			r.add(fmt.Sprintf("%s.ports[%s]", field, name), invalid, "a Unix socket has no ports; remove it")
		default:
			m.Ports[name] = port
		}
	}
	if m.Account != "" && !isName(m.Account) {
		r.add(field+".serviceAccount", invalid, "%q is no service account's name; mutual TLS is not used with the endpoint", m.Account)
		m.Account = ""
	}
	m.Meshed = m.Account != ""
	if mode, ok := labels[labelTLSMode]; ok {
		m.Meshed = mode == tlsModeMesh
	}
	if m.Meshed {
		m.Identity = Identity(s.TrustDomain, r.of.Namespace, first(m.Account, defaultAccount))
	}
	return m
}

// readAddress is the canonical form of an endpoint's address, or what is wrong with it.
func readAddress(text string) (string, string) {
	if path, ok := strings.CutPrefix(text, unixScheme); ok {
		switch {
		case len(path) < 2 || path[0] != '/' && path[0] != '@':
			return "", "a Unix socket is unix:// and an absolute path, or unix://@ and a name"
		case strings.HasSuffix(path, "/"):
			return "", "it is a directory; name the socket"
		case len(path) > 107:
			return "", "the path of a Unix socket has 107 bytes at most"
		}
		return text, ""
	}
	if ip, err := netip.ParseAddr(text); err == nil {
		if ip.Zone() != "" {
			return "", "an address with a zone means something on one machine only"
		}
		return ip.Unmap().String(), ""
	}
	name := strings.ToLower(strings.TrimSuffix(text, "."))
	if !isName(name) || strings.Trim(name[strings.LastIndexByte(name, '.')+1:], "0123456789") == "" {
		return "", "it is no IP address, DNS name or Unix socket"
	}
	return name, ""
}

// readLabels is the canonical form, without labels that can't be written in it.
func readLabels(r *report, field string, labels map[string]string) model.Labels {
	kept := labels
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if !(plain(k) && plain(labels[k])) && len(validation.IsQualifiedName(k))+len(validation.IsValidLabelValue(labels[k])) > 0 {
			r.add(field+".labels["+k+"]", invalid, "%.150q can't be a label; use letters, digits, and - _ . between them, 63 at most", k+"="+labels[k])
		}
		if strings.ContainsAny(k, ",=") || strings.Contains(labels[k], ",") {
			if len(kept) == len(labels) {
				kept = maps.Clone(labels)
			}
			delete(kept, k)
		}
	}
	return model.LabelsOf(kept)
}

// plain text is a label's for sure: there may be many, and expressions are slow.
func plain(s string) bool {
	other := func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') }
	return s != "" && len(s) <= 63 && strings.IndexFunc(s, other) < 0
}

func first(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}

// PortFor is where the machine answers for a service's port.
func (m *Machine) PortFor(name string, target, number uint16) uint16 {
	switch {
	case m.Ports[name] != 0:
		return uint16(m.Ports[name])
	case target != 0:
		return target
	}
	return number
}

// At is the endpoint of one of its ports.
func (m *Machine) At(port uint16) model.Endpoint {
	out := m.Endpoint
	out.Port = port
	out.MTLS = m.Meshed && modeOn(port, m.MTLS, m.PortMTLS) != model.Disable
	return out
}

func modeOn(port uint16, all model.MTLSMode, ports []model.PortMTLS) model.MTLSMode {
	for _, p := range ports {
		if p.Port == port {
			return p.Mode
		}
	}
	return all
}

// workload is the machine as a proxy's own place in the mesh.
func (m *Machine) workload(trustDomain string, inbound []model.InboundPort) *model.Workload {
	account := first(m.Account, defaultAccount)
	w := &model.Workload{
		Name: m.Name, Namespace: m.Namespace, UID: m.UID, ServiceAccount: account,
		Identity: Identity(trustDomain, m.Namespace, account), Locality: m.Endpoint.Locality, Network: m.Endpoint.Network, Labels: m.Labels,
		Meshed: m.Meshed, MTLS: m.MTLS, PortMTLS: m.PortMTLS, Inbound: inbound,
	}
	if ip, err := netip.ParseAddr(m.Endpoint.Address); err == nil {
		w.Addresses = []netip.Addr{ip}
	}
	return w
}
