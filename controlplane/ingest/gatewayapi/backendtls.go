// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// tlsTarget is a service, or one of its ports by name.
type tlsTarget struct {
	service name
	section string
}

// backendTLS makes policies of BackendTLSPolicies: one per service, whose ports
// follow the oldest policy that names each. It must come after the routes,
// which say which gateways its status is about.
func (p *parents) backendTLS() (policies []*model.DestinationPolicy, statuses []*PolicyStatus) {
	all := slices.Clone(p.in.BackendTLSPolicies)
	slices.SortFunc(all, func(a, b *gateway.BackendTLSPolicy) int {
		return originOf(kindTLSPolicy, a).Older(originOf(kindTLSPolicy, b))
	})
	taken := map[tlsTarget]*gateway.BackendTLSPolicy{}
	made := map[name]*model.DestinationPolicy{}
	var order []name
	for _, o := range all {
		v := p.validation(o)
		for i, target := range o.Spec.TargetRefs {
			t, f := p.target(o, i, target)
			if winner := taken[t]; f.none() && winner != nil {
				f = faultf(gateway.PolicyReasonConflicted, "BackendTLSPolicy %s is older and has the same target: remove one of them.", winner.Name)
			}
			if !f.none() {
				v.accept.first(f)
				p.problem(objectOf(kindTLSPolicy, o), fmt.Sprintf("spec.targetRefs[%d]", i), f.reason, f.message)
				continue
			}
			taken[t] = o
			if made[t.service] == nil {
				made[t.service] = &model.DestinationPolicy{Origin: originOf(kindTLSPolicy, o), Host: p.host(t.service)}
				order = append(order, t.service)
			}
			p.apply(made[t.service], t, v)
		}
		statuses = append(statuses, p.policyStatus(o, v))
	}
	for _, n := range order {
		sortPorts(made[n], p.services[n])
		policies = append(policies, made[n])
	}
	return policies, statuses
}

// tlsValidation is what one policy asks of a server.
type tlsValidation struct {
	tls          model.ClientTLS
	accept, refs fault
}

// target of a policy.
func (p *parents) target(o *gateway.BackendTLSPolicy, i int, ref gateway.LocalPolicyTargetReferenceWithSectionName) (tlsTarget, fault) {
	t := tlsTarget{name{o.Namespace, string(ref.Name)}, string(deref(ref.SectionName, ""))}
	if string(ref.Group) != groupCore || string(ref.Kind) != kindService {
		return t, faultf(gateway.PolicyReasonInvalid, "spec.targetRefs[%d]: %s can't be a target: name a Service.", i, qualified(string(ref.Group), string(ref.Kind)))
	}
	s := p.services[t.service]
	if s == nil {
		return t, faultf(gateway.PolicyReasonTargetNotFound, "spec.targetRefs[%d]: there is no Service %s.", i, t.service)
	}
	if t.section != "" && !slices.ContainsFunc(s.Spec.Ports, func(sp corev1.ServicePort) bool { return sp.Name == t.section }) {
		return t, faultf(gateway.PolicyReasonTargetNotFound, "spec.targetRefs[%d]: Service %s has no port named %q.", i, t.service, t.section)
	}
	return t, fault{}
}

// validation reads what a policy asks. Without a CA that can be used nothing is
// sent at all.
func (p *parents) validation(o *gateway.BackendTLSPolicy) *tlsValidation {
	spec := &o.Spec.Validation
	v := &tlsValidation{tls: model.ClientTLS{Mode: model.SimpleTLS, SNI: string(spec.Hostname)}}
	for _, key := range sortedKeys(o.Spec.Options) {
		p.problem(objectOf(kindTLSPolicy, o), "spec.options["+string(key)+"]", notSupported, "the option is not known and has no effect: remove it")
	}
	v.tls.SubjectNames = []string{string(spec.Hostname)}
	if len(spec.SubjectAltNames) > 0 {
		v.tls.SubjectNames = nil
		for _, s := range spec.SubjectAltNames {
			if s.Type == gateway.URISubjectAltNameType {
				v.tls.SubjectNames = append(v.tls.SubjectNames, string(s.URI))
			} else {
				v.tls.SubjectNames = append(v.tls.SubjectNames, strings.ToLower(string(s.Hostname)))
			}
		}
		slices.Sort(v.tls.SubjectNames)
	}
	switch known := deref(spec.WellKnownCACertificates, ""); {
	case known == gateway.WellKnownCACertificatesSystem:
		v.tls.SystemCA = true
	case known != "":
		v.accept = faultf(gateway.PolicyReasonInvalid, "spec.validation.wellKnownCACertificates: %q is not known: use System, or caCertificateRefs.", known)
	default:
		p.authorities(o, v)
	}
	if !v.accept.none() {
		v.tls.Invalid = v.accept.message
	}
	return v
}

// authorities of a policy; those that can be used are taken together.
func (p *parents) authorities(o *gateway.BackendTLSPolicy, v *tlsValidation) {
	for i, r := range o.Spec.Validation.CACertificateRefs {
		_, c, f := p.authority(referrer{kindTLSPolicy, o.Namespace}, string(r.Group), string(r.Kind), name{o.Namespace, string(r.Name)}, o.Namespace,
			string(gateway.BackendTLSPolicyReasonInvalidCACertificateRef), string(gateway.BackendTLSPolicyReasonInvalidKind))
		if !f.none() {
			f.message = fmt.Sprintf("spec.validation.caCertificateRefs[%d]: %s", i, f.message)
			v.refs.first(f)
			continue
		}
		v.tls.CA = append(append(slices.Clone(v.tls.CA), c.CA...), '\n')
	}
	if len(v.tls.CA) == 0 {
		v.accept = faultf(gateway.BackendTLSPolicyReasonNoValidCACertificate, "No CA certificate of backends can be used, so nothing is sent to them. %s", v.refs.message)
	}
}

// apply puts a validation on a service, or on one of its ports.
func (p *parents) apply(policy *model.DestinationPolicy, t tlsTarget, v *tlsValidation) {
	if t.section == "" {
		policy.Policy.TLS = &v.tls
		return
	}
	for _, sp := range p.services[t.service].Spec.Ports {
		if sp.Name == t.section {
			policy.Policy.Ports = append(policy.Policy.Ports, model.PortPolicy{Port: uint16(sp.Port), TLS: &v.tls})
		}
	}
}

func sortPorts(policy *model.DestinationPolicy, _ *corev1.Service) {
	slices.SortFunc(policy.Policy.Ports, func(a, b model.PortPolicy) int { return int(a.Port) - int(b.Port) })
}

// maxAncestors is what the API takes.
const maxAncestors = 16

// policyStatus for each gateway that sends to a target.
func (p *parents) policyStatus(o *gateway.BackendTLSPolicy, v *tlsValidation) *PolicyStatus {
	seen := map[Object]bool{}
	for _, t := range o.Spec.TargetRefs {
		for g := range p.served[name{o.Namespace, string(t.Name)}] {
			seen[g] = true
		}
	}
	s := &PolicyStatus{Object: objectOf(kindTLSPolicy, o)}
	for _, g := range sortedObjects(seen) {
		if len(s.Ancestors) == maxAncestors {
			break
		}
		group, kind, namespace := gateway.Group(gateway.GroupName), gateway.Kind(kindGateway), gateway.Namespace(g.Namespace)
		s.Ancestors = append(s.Ancestors, gateway.PolicyAncestorStatus{
			AncestorRef:    gateway.ParentReference{Group: &group, Kind: &kind, Namespace: &namespace, Name: gateway.ObjectName(g.Name)},
			ControllerName: ControllerName,
			Conditions: []metav1.Condition{
				good(gateway.PolicyConditionAccepted, gateway.PolicyReasonAccepted, v.accept, o.Generation),
				good(gateway.BackendTLSPolicyConditionResolvedRefs, gateway.BackendTLSPolicyReasonResolvedRefs, v.refs, o.Generation),
			},
		})
	}
	return s
}

func sortedObjects(set map[Object]bool) []Object {
	all := make([]Object, 0, len(set))
	for o := range set {
		all = append(all, o)
	}
	slices.SortFunc(all, compareObjects)
	return all
}

func compareObjects(a, b Object) int {
	if c := compareNames(name{a.Namespace, a.Name}, name{b.Namespace, b.Name}); c != 0 {
		return c
	}
	return strings.Compare(a.Kind, b.Kind)
}
