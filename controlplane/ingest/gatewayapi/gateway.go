// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// gatewayState is what is known of one Gateway of ours.
type gatewayState struct {
	object    *gateway.Gateway
	of        Object
	listeners []*listener
	sets      []*setState
	// accept and refs are its own faults.
	accept, refs fault
	// insecure clients are let in somewhere.
	insecure bool
	client   *model.CredentialRef
	existing name
}

// all listeners, the Gateway's own first.
func (g *gatewayState) all() []*listener {
	all := slices.Clone(g.listeners)
	for _, s := range g.sets {
		all = append(all, s.listeners...)
	}
	return all
}

func (x *index) newGateway(o *gateway.Gateway) *gatewayState {
	g := &gatewayState{object: o, of: objectOf(kindGateway, o)}
	for _, spec := range o.Spec.Listeners {
		g.listeners = append(g.listeners, x.newListener(spec, g.of, g.of))
	}
	x.readAddresses(g)
	x.readInfrastructure(g)
	x.readBackendTLS(g)
	if o.Spec.DefaultScope != "" && o.Spec.DefaultScope != gateway.GatewayDefaultScopeNone {
		x.problem(g.of, "spec.defaultScope", notSupported, "no route is attached without a parentRef: remove the field and name this Gateway in the routes' parentRefs")
	}
	return g
}

// readAddresses checks spec.addresses. An address of type Hostname names the
// Service of proxies that exist already, as in Istio.
func (x *index) readAddresses(g *gatewayState) {
	for i, a := range g.object.Spec.Addresses {
		unsupported := func(format string, args ...any) {
			g.accept.first(faultf(gateway.GatewayReasonUnsupportedAddress, "spec.addresses[%d]: "+format, append([]any{i}, args...)...))
		}
		switch t := deref(a.Type, gateway.IPAddressType); t {
		case gateway.IPAddressType:
			if _, err := netip.ParseAddr(a.Value); a.Value != "" && err != nil {
				unsupported("%q is not an IP address.", a.Value)
			}
		case gateway.HostnameAddressType:
			service, ok := x.serviceOf(a.Value)
			switch {
			case a.Value == "":
			case !ok || x.services[service] == nil:
				unsupported("no Service has the hostname %q: name one whose pods are gateway proxies, or use type IPAddress.", a.Value)
			case service.namespace != g.of.Namespace:
				unsupported("Service %s is in another namespace than the Gateway: put both into one.", service)
			case g.existing != (name{}) && g.existing != service:
				unsupported("only one Service can serve a Gateway: remove the other one.")
			default:
				g.existing = service
			}
		default:
			unsupported("type %q is not supported: use IPAddress or Hostname.", t)
		}
	}
}

// serviceOf is the service that a full hostname names.
func (x *index) serviceOf(host string) (name, bool) {
	rest, ok := strings.CutSuffix(strings.ToLower(strings.TrimSuffix(host, ".")), ".svc."+x.in.Settings.DomainSuffix)
	n, ns, two := strings.Cut(rest, ".")
	return name{ns, n}, ok && two && !strings.Contains(ns, ".")
}

// readInfrastructure checks spec.infrastructure. What it says for labels and
// annotations is copied into metadata only, never into a pod's other fields.
func (x *index) readInfrastructure(g *gatewayState) {
	if i := g.object.Spec.Infrastructure; i != nil && i.ParametersRef != nil {
		r := i.ParametersRef
		g.accept.first(faultf(gateway.GatewayReasonInvalidParameters,
			"spec.infrastructure.parametersRef: %s %q is not a kind of parameters that this controller knows: remove it.", qualified(string(r.Group), string(r.Kind)), r.Name))
	}
}

// readBackendTLS finds the certificate that the gateway shows to backends.
func (x *index) readBackendTLS(g *gatewayState) {
	if g.object.Spec.TLS == nil || g.object.Spec.TLS.Backend == nil || g.object.Spec.TLS.Backend.ClientCertificateRef == nil {
		return
	}
	r := g.object.Spec.TLS.Backend.ClientCertificateRef
	group, kind := string(deref(r.Group, groupCore)), string(deref(r.Kind, kindSecret))
	if group != groupCore || kind != kindSecret {
		g.refs.first(faultf(gateway.GatewayReasonInvalidClientCertificateRef,
			"spec.tls.backend.clientCertificateRef: %s is not a kind that holds certificates: name a Secret.", qualified(group, kind)))
		return
	}
	to := name{string(deref(r.Namespace, gateway.Namespace(g.of.Namespace))), string(r.Name)}
	ref, f := x.secret(referrer{kindGateway, g.of.Namespace}, to, g.of.Namespace, string(gateway.GatewayReasonInvalidClientCertificateRef))
	if !f.none() {
		f.message = "spec.tls.backend.clientCertificateRef: " + f.message
	}
	g.refs.first(f)
	g.client = ref
}

// finish looks at the listeners together, once those of its sets are known.
func (x *index) finish(g *gatewayState) {
	tiers := [][]*listener{g.listeners}
	for _, s := range g.sets {
		tiers = append(tiers, s.listeners)
	}
	for _, l := range g.all() {
		x.frontend(l, g.object.Spec.TLS)
		if l.tls != nil && l.tls.AllowInvalidClients {
			g.insecure = true
		}
	}
	settle(tiers)
	for _, s := range g.sets {
		s.finish()
	}
	g.acceptListeners()
}

// acceptListeners: with no listener that can be accepted the Gateway isn't either.
func (g *gatewayState) acceptListeners() {
	var wrong []string
	some := false
	for _, l := range g.listeners {
		if !l.accepted() {
			wrong = append(wrong, string(l.spec.Name))
			continue
		}
		some = true
	}
	for _, s := range g.sets {
		some = some || s.accept.none()
	}
	if !some {
		g.accept.first(faultf(gateway.GatewayReasonListenersNotValid, "No listener can be accepted: %s.", orNone(wrong)))
	}
}

// invalidListeners names the listeners that keep an accepted Gateway from being wholly so.
func (g *gatewayState) invalidListeners() []string {
	var wrong []string
	for _, l := range g.listeners {
		if !l.accepted() {
			wrong = append(wrong, string(l.spec.Name))
		}
	}
	return wrong
}

func (g *gatewayState) conditions() []metav1.Condition {
	gen := g.of.Generation
	accepted := good(gateway.GatewayConditionAccepted, gateway.GatewayReasonAccepted, g.accept, gen)
	if wrong := g.invalidListeners(); g.accept.none() && len(wrong) > 0 {
		accepted.Reason = string(gateway.GatewayReasonListenersNotValid)
		accepted.Message = clip("These listeners are not accepted, see their conditions: " + strings.Join(wrong, ", "))
	}
	refs := g.refs
	for _, l := range g.listeners {
		if refs.none() && !l.refs.none() {
			refs = faultf(gateway.GatewayReasonListenersNotResolved, "Listener %s: %s", l.spec.Name, l.refs.message)
		}
	}
	all := []metav1.Condition{accepted, good(gateway.GatewayConditionResolvedRefs, gateway.GatewayReasonResolvedRefs, refs, gen)}
	if g.insecure {
		all = append(all, bad(gateway.GatewayConditionInsecureFrontendValidationMode, gateway.GatewayReasonConfigurationChanged,
			faultf(gateway.GatewayReasonConfigurationChanged, "Clients without a valid certificate are let in: set mode AllowValidOnly once they have one."), gen))
	}
	return all
}

// status of it, but for what depends on its proxies.
func (g *gatewayState) status() *GatewayStatus {
	s := &GatewayStatus{Object: g.of, Conditions: g.conditions(), Deployment: g.deployment()}
	if !g.accept.none() {
		s.programmed = faultf(gateway.GatewayReasonInvalid, "The Gateway is not accepted: %s", g.accept.message)
	}
	for _, l := range g.listeners {
		s.Listeners = append(s.Listeners, gateway.ListenerStatus{
			Name: l.spec.Name, SupportedKinds: l.kinds, AttachedRoutes: int32(len(l.attached)), Conditions: l.conditions(),
		})
		s.broken = append(s.broken, l.broken())
	}
	for _, set := range g.sets {
		if set.accept.none() {
			s.AttachedListenerSets++
		}
	}
	return s
}

// model of it; nil when it isn't accepted.
func (g *gatewayState) model(x *index) *model.Gateway {
	if !g.accept.none() {
		return nil
	}
	m := &model.Gateway{
		Origin:            originOf(kindGateway, g.object),
		Selector:          model.LabelsOf(map[string]string{gateway.GatewayNameLabelKey: LabelValue(g.of.Name)}),
		SelectorNamespace: g.of.Namespace, API: true, ClientCertificate: g.client,
	}
	if g.existing != (name{}) {
		m.Selector = model.LabelsOf(x.services[g.existing].Spec.Selector)
	}
	for _, l := range g.all() {
		m.Listeners = append(m.Listeners, l.model())
	}
	return m
}

// labelRevision names the control plane that an object, or all of a namespace, is for.
const labelRevision = "istio.io/rev"

// inRevision is true for a Gateway that this control plane serves: by its own
// label, else its namespace's, else the default revision.
func (x *index) inRevision(g *gateway.Gateway) bool {
	wanted := g.Labels[labelRevision]
	if wanted == "" {
		wanted = x.namespaces[g.Namespace][labelRevision]
	}
	return plainRevision(wanted) == plainRevision(x.in.Settings.Revision)
}

func plainRevision(r string) string {
	if r == "default" {
		return ""
	}
	return r
}

// serviceTypeAnnotation is Istio's, for the type of a gateway's Service.
const serviceTypeAnnotation = "networking.istio.io/service-type"

// deployment of it; nil when it isn't accepted.
func (g *gatewayState) deployment() *Deployment {
	if !g.accept.none() {
		return nil
	}
	d := &Deployment{
		Namespace: g.of.Namespace, Gateway: g.of.Name, UID: g.of.UID, Class: string(g.object.Spec.GatewayClassName), ServiceType: "LoadBalancer",
	}
	if g.existing != (name{}) {
		d.Existing = g.existing.String()
	}
	if t := g.object.Annotations[serviceTypeAnnotation]; t == "NodePort" || t == "ClusterIP" {
		d.ServiceType = t
	}
	for _, a := range g.object.Spec.Addresses {
		if a.Value != "" && deref(a.Type, gateway.IPAddressType) == gateway.IPAddressType {
			d.Addresses = append(d.Addresses, a.Value)
		}
	}
	if i := g.object.Spec.Infrastructure; i != nil {
		d.Labels, d.Annotations = map[string]string{}, map[string]string{}
		for k, v := range i.Labels {
			d.Labels[string(k)] = string(v)
		}
		for k, v := range i.Annotations {
			d.Annotations[string(k)] = string(v)
		}
	}
	for _, l := range g.all() {
		if l.accepted() && !slices.Contains(d.Ports, l.deploymentPort()) {
			d.Ports = append(d.Ports, l.deploymentPort())
		}
	}
	slices.SortFunc(d.Ports, func(a, b DeploymentPort) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Protocol, b.Protocol))
	})
	return d
}

// checkAnnotations tells a service type that isn't one.
func (x *index) checkAnnotations(g *gatewayState) {
	switch t := g.object.Annotations[serviceTypeAnnotation]; t {
	case "", "LoadBalancer", "NodePort", "ClusterIP":
	default:
		x.problem(g.of, "metadata.annotations["+serviceTypeAnnotation+"]", invalid,
			fmt.Sprintf("%q is not a type of Service that can be made: use LoadBalancer, NodePort or ClusterIP", t))
	}
}

// LabelValue is a name as the value of a label: itself where it is short
// enough, else its beginning and a hash.
func LabelValue(name string) string {
	const most = 63
	if len(name) <= most {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return strings.TrimRight(name[:most-9], "-._") + "-" + hex.EncodeToString(sum[:4])
}
