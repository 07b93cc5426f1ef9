// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/peer"
)

// The tags that Envoy writes and that become something else.
const (
	tagReporter      = "reporter"
	tagPeer          = "peer"
	tagPeerPrincipal = "peer_principal"
	tagSelfPrincipal = "self_principal"
	tagService       = "service"
)

const unknown = "unknown"

// label is one of Istio's labels.
type label struct{ name, value string }

// expander makes Istio's labels of the tags that Envoy writes. Self is the
// workload of this pod.
type expander struct {
	self   peer.Peer
	labels []label
	own    []tag
	out    []byte
}

// expand writes all labels of a series: Istio's first, then those that
// somebody added, by name. It is empty when the tags are not those of the
// mesh. What it returns is good until the next call.
func (e *expander) expand(tags []tag) []byte {
	reporter := find(tags, tagReporter)
	e.labels = e.labels[:0]
	switch reporter {
	case "source":
		e.source(tags)
	case "destination":
		e.destination(tags)
	default:
		return nil
	}
	// What concerns the call itself is there when Envoy writes it: a TCP
	// connection has no response code, and a Telemetry may not want it.
	for _, pass := range passed {
		if has(tags, pass.name) {
			e.add(pass.name, find(tags, pass.name), pass.value)
		}
	}
	e.out = e.out[:0]
	e.write(tagReporter, reporter)
	for _, l := range e.labels {
		e.write(l.name, l.value)
	}
	e.others(tags)
	return e.out
}

// plain writes the tags of a series that isn't the mesh's own, as they are.
func (e *expander) plain(tags []tag) []byte {
	e.labels, e.out = e.labels[:0], e.out[:0]
	e.others(tags)
	return e.out
}

// others writes the tags that are no labels yet, by name.
func (e *expander) others(tags []tag) {
	e.own = e.own[:0]
	for _, t := range tags {
		if len(e.labels) == 0 || !packed(t.name) && !slices.ContainsFunc(e.labels, func(l label) bool { return l.name == t.name }) {
			e.own = append(e.own, t)
		}
	}
	slices.SortStableFunc(e.own, func(a, b tag) int { return strings.Compare(a.name, b.name) })
	for i, t := range e.own {
		// A name may be there once; the last one wins, as in find.
		if i+1 < len(e.own) && t.name == e.own[i+1].name {
			continue
		}
		e.write(t.name, t.value)
	}
}

// passed are the tags that are labels already, with what stands for "".
var passed = []label{
	{"request_protocol", unknown},
	{"response_code", unknown},
	{"grpc_response_status", ""},
	{"response_flags", "-"},
	{"connection_security_policy", unknown},
}

// packed are the tags that are never shown themselves.
func packed(name string) bool {
	switch name {
	case tagReporter, tagPeer, tagPeerPrincipal, tagSelfPrincipal, tagService:
		return true
	}
	return false
}

// source adds the labels of calls that this pod makes.
func (e *expander) source(tags []tag) {
	other, principal := otherOf(tags)
	host, name, namespace := serviceOf(tags)
	e.side(tags, &sourceLabels, e.self, find(tags, tagSelfPrincipal))
	e.side(tags, &destinationLabels, other, principal)
	e.set(tags, "destination_service", host, unknown)
	e.set(tags, "destination_service_name", name, unknown)
	e.set(tags, "destination_service_namespace", namespace, or(other.Namespace, unknown))
}

// destination adds the labels of calls that this pod answers.
func (e *expander) destination(tags []tag) {
	other, principal := otherOf(tags)
	host, name, namespace := serviceOf(tags)
	e.side(tags, &sourceLabels, other, principal)
	e.side(tags, &destinationLabels, e.self, find(tags, tagSelfPrincipal))
	// Who calls a pod by its address calls the workload.
	own := or(e.self.CanonicalService, unknown)
	e.set(tags, "destination_service", host, own)
	e.set(tags, "destination_service_name", name, own)
	e.set(tags, "destination_service_namespace", or(e.self.Namespace, namespace), unknown)
}

// side adds what is known of the workload on one side.
func (e *expander) side(tags []tag, names *[8]string, p peer.Peer, principal string) {
	for i, value := range [...]string{p.Workload, p.Namespace, principal, p.App, p.Version, p.CanonicalService, p.CanonicalRevision, p.Cluster} {
		other := unknown
		if i == revisionAt {
			other = "latest"
		}
		e.set(tags, names[i], value, other)
	}
}

const revisionAt = 6

var (
	sourceLabels = [8]string{
		"source_workload", "source_workload_namespace", "source_principal", "source_app", "source_version",
		"source_canonical_service", "source_canonical_revision", "source_cluster",
	}
	destinationLabels = [8]string{
		"destination_workload", "destination_workload_namespace", "destination_principal", "destination_app", "destination_version",
		"destination_canonical_service", "destination_canonical_revision", "destination_cluster",
	}
)

// set adds a label. A tag of the same name, as an EnvoyFilter may add it, wins.
func (e *expander) set(tags []tag, name, value, other string) {
	if has(tags, name) {
		value = find(tags, name)
	}
	e.add(name, value, other)
}

func (e *expander) add(name, value, other string) {
	e.labels = append(e.labels, label{name, or(value, other)})
}

func (e *expander) write(name, value string) {
	if len(e.out) > 0 {
		e.out = append(e.out, ',')
	}
	e.out = append(append(e.out, name...), '=')
	e.out = appendQuoted(e.out, value)
}

// otherOf is the workload at the other end and its identity. The identity is
// what was verified, so its namespace counts.
func otherOf(tags []tag) (peer.Peer, string) {
	p, _ := peer.Parse(find(tags, tagPeer))
	principal, _, _ := strings.Cut(find(tags, tagPeerPrincipal), ",")
	if namespace := namespaceOf(principal); namespace != "" {
		p.Namespace = namespace
	}
	return p, principal
}

// namespaceOf reads spiffe://domain/ns/namespace/sa/account; "" for another form.
func namespaceOf(principal string) string {
	rest, ok := strings.CutPrefix(principal, "spiffe://")
	if !ok {
		return ""
	}
	parts := strings.Split(rest, "/")
	if len(parts) != 5 || parts[1] != "ns" || parts[3] != "sa" {
		return ""
	}
	return parts[2]
}

// serviceOf unpacks host|name|namespace.
func serviceOf(tags []tag) (host, name, namespace string) {
	host, rest, _ := strings.Cut(find(tags, tagService), "|")
	name, namespace, _ = strings.Cut(rest, "|")
	return host, name, namespace
}

// find is the value of the last tag of that name, "" without one.
func find(tags []tag, name string) string {
	for _, t := range slices.Backward(tags) {
		if t.name == name {
			return t.value
		}
	}
	return ""
}

func has(tags []tag, name string) bool {
	return slices.ContainsFunc(tags, func(t tag) bool { return t.name == name })
}

func or(value, other string) string {
	if value != "" {
		return value
	}
	return other
}
