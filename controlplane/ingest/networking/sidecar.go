// SPDX-License-Identifier: Apache-2.0

package networking

import (
	"net/netip"
	"slices"
	"strings"

	api "istio.io/api/networking/v1alpha3"
	networking "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

const kindSidecar = "Sidecar"

// maxListeners of a sidecar in one direction.
const maxListeners = 1000

func readSidecar(o *networking.Sidecar, settings *model.Settings) (*model.Scope, []model.Problem) {
	r := newReader(kindSidecar, o, settings)
	spec := &o.Spec
	selector, ok := r.labels("spec.workloadSelector.labels", spec.GetWorkloadSelector().GetLabels())
	out := &model.Scope{Origin: r.origin, Selector: selector, Inbound: r.connections("spec.inboundConnectionPool", spec.GetInboundConnectionPool())}
	for _, list := range []struct {
		name string
		n    int
	}{{"egress", len(spec.GetEgress())}, {"ingress", len(spec.GetIngress())}} {
		if list.n > maxListeners {
			r.refuse("spec."+list.name, "there are %d listeners; %d are the most", list.n, maxListeners)
			out.Egress = []model.Egress{}
			return out, r.problems
		}
	}
	if len(spec.GetEgress())+len(spec.GetIngress()) == 0 && spec.GetOutboundTrafficPolicy() == nil && spec.GetInboundConnectionPool() == nil {
		r.reject("spec", "it says nothing; add egress, ingress, outboundTrafficPolicy or inboundConnectionPool")
	}
	for i, l := range spec.GetEgress() {
		r.egress(at("spec.egress", i), l, i == len(spec.GetEgress())-1, out)
	}
	if spec.GetEgress() != nil && out.Egress == nil {
		out.Egress = []model.Egress{} // what was to be narrow does not become wide
	}
	for i, l := range spec.GetIngress() {
		r.ingress(at("spec.ingress", i), l, out)
	}
	r.unknownHosts("spec.outboundTrafficPolicy", spec.GetOutboundTrafficPolicy(), out)
	if !ok {
		return nil, r.problems
	}
	return out, r.problems
}

// unknownHosts says what becomes of calls to hosts that the mesh doesn't know.
func (r *reader) unknownHosts(field string, p *api.OutboundTrafficPolicy, to *model.Scope) {
	if p == nil {
		return
	}
	switch p.GetMode() {
	case api.OutboundTrafficPolicy_REGISTRY_ONLY, api.OutboundTrafficPolicy_ALLOW_ANY:
	default:
		r.refuse(field+".mode", "mode %d can't be at a Sidecar, and the mesh's holds; use REGISTRY_ONLY or ALLOW_ANY (ALLOW_ANY_DYNAMIC_DNS is MeshConfig's)", p.GetMode())
		return
	}
	to.RegistryOnly = new(p.GetMode() == api.OutboundTrafficPolicy_REGISTRY_ONLY)
	if p.GetEgressProxy() == nil {
		return
	}
	before := r.refusals
	proxy := r.destination(field+".egressProxy", p.GetEgressProxy())
	r.fqdn(field+".egressProxy.host", p.GetEgressProxy().GetHost())
	if p.GetEgressProxy().GetPort() == nil {
		r.refuse(field+".egressProxy.port", "it is missing; give the number of the proxy's port")
	}
	if *to.RegistryOnly {
		r.refuse(field+".egressProxy", "REGISTRY_ONLY sends unknown hosts nowhere; remove it, or use ALLOW_ANY")
	}
	if r.refusals == before {
		to.Proxy = &proxy
	}
}

// protocols by their names in Istio's APIs.
var protocols = map[string]model.Protocol{
	"": model.Auto, "HTTP": model.HTTP, "HTTP_PROXY": model.HTTP, "GRPC": model.GRPC, "GRPC-WEB": model.GRPCWeb, "HTTP2": model.HTTP2,
	"HTTPS": model.TLS, "TLS": model.TLS, "TCP": model.TCP, "MONGO": model.TCP, "MYSQL": model.TCP, "REDIS": model.TCP,
}

func (r *reader) protocol(field, name string) model.Protocol {
	p, ok := protocols[strings.ToUpper(name)]
	switch upper := strings.ToUpper(name); {
	case !ok:
		r.refuse(field, "%.100q is none that sidecars take; use HTTP, HTTP2, GRPC, HTTPS, TLS, TCP or MONGO", name)
		return model.TCP
	case upper == "MONGO" || upper == "MYSQL" || upper == "REDIS":
		r.tell(field, notSupported, "%s is sent on as plain TCP, without looking into it; write TCP", upper)
	}
	return p
}

func (r *reader) egress(field string, l *api.IstioEgressListener, last bool, to *model.Scope) {
	before := r.refusals
	out := model.Egress{Bind: l.GetBind(), NoCapture: l.GetCaptureMode() == api.CaptureMode_NONE}
	socket := strings.HasPrefix(l.GetBind(), "unix://")
	port := l.GetPort()
	switch {
	case socket:
		if !isSocket(l.GetBind()) {
			r.refuse(field+".bind", "%.150q is no socket; write unix:///path or unix://@name", l.GetBind())
		}
		if port.GetNumber() != 0 || port == nil {
			r.refuse(field+".port", "a Unix socket needs a port with number 0 and a protocol; give it")
		}
		if l.GetCaptureMode() == api.CaptureMode_IPTABLES {
			r.refuse(field+".captureMode", "nothing is captured for a Unix socket; use DEFAULT or NONE")
		}
	case port != nil:
		out.Port = r.port(field+".port.number", port.GetNumber())
	case l.GetBind() != "":
		r.refuse(field+".port", "a bind address needs a port; add it")
	case !last:
		r.refuse(field+".port", "only the last listener may be without port, the ones after it would have no effect; move it to the end")
	}
	if l.GetBind() != "" && !socket {
		if a, err := netip.ParseAddr(l.GetBind()); err != nil || a.Zone() != "" {
			r.refuse(field+".bind", "%.100q is neither an address nor a Unix socket; write one", l.GetBind())
		}
	}
	r.noTarget(field, port)
	r.portName(field, port)
	if port != nil {
		out.Protocol = r.protocol(field+".port.protocol", port.GetProtocol())
	}
	out.AnyPort = socket || strings.EqualFold(port.GetProtocol(), "HTTP_PROXY")
	same := func(e model.Egress) bool { return e.Port == out.Port && e.Bind == out.Bind }
	if slices.ContainsFunc(to.Egress, same) {
		r.refuse(field+".port", "there is a listener on this port already, which is used; join their hosts")
	}
	if len(l.GetHosts()) == 0 {
		r.refuse(field+".hosts", "there is none; name hosts as namespace/host, or ~/* for none at all")
	}
	if r.refusals > before {
		return
	}
	for i, text := range l.GetHosts() {
		if h, ok := r.egressHost(at(field+".hosts", i), text); ok {
			out.Hosts = append(out.Hosts, h)
		}
	}
	to.Egress = append(to.Egress, out)
}

// noTarget tells of a target of a port: Istio ignores it, too.
func (r *reader) noTarget(field string, p *api.SidecarPort) {
	if p.GetTargetPort() != 0 { //nolint:staticcheck // the API still takes it
		r.tell(field+".port.targetPort", noEffect, "services say which port is the target, and defaultEndpoint where the application listens; remove it")
	}
}

// portName is optional, and a label of a name.
func (r *reader) portName(field string, p *api.SidecarPort) {
	if name := p.GetName(); name != "" && (!isLabel(name) || strings.Contains(name, "_")) {
		r.reject(field+".port.name", "%.100q is no name of a port; use up to 63 letters, digits, and hyphens between them", name)
	}
}

// egressHost is "namespace/host". A namespace that begins with ~ takes away.
func (r *reader) egressHost(field, text string) (model.ListenerHost, bool) {
	namespace, host, slash := strings.Cut(text, "/")
	if !slash {
		r.refuse(field, "%.150q has no namespace; write namespace/host, */host for any, or ./host for this one", text)
		return model.ListenerHost{}, false
	}
	full, ok := r.host(field, host)
	if !ok {
		return model.ListenerHost{}, false
	}
	if !strings.Contains(host, ".") && host != "*" {
		r.refuse(field, "%.100q is a short name; write the full name, or %q", host, "*")
		return model.ListenerHost{}, false
	}
	name, without := strings.CutPrefix(namespace, "~")
	switch {
	case without && name == "" && host == "*":
		return model.ListenerHost{Namespace: "~", Host: "*"}, true
	case without && name == "":
		name = "*"
	case name == "." && r.origin.Namespace != r.settings.RootNamespace:
		name = r.origin.Namespace
	}
	if name != "*" && name != "." && !isLabel(name) {
		r.refuse(field, "%.100q is no namespace; write a name, * for any, . for this one, or ~ for none", namespace)
		return model.ListenerHost{}, false
	}
	if without {
		name = "~" + name
	}
	return model.ListenerHost{Namespace: name, Host: full}, true
}

func (r *reader) ingress(field string, l *api.IstioIngressListener, to *model.Scope) {
	before := r.refusals
	if l.GetPort() == nil {
		r.refuse(field+".port", "it is missing; give number, protocol and name")
		return
	}
	out := model.Ingress{
		Port: r.port(field+".port.number", l.GetPort().GetNumber()), Name: l.GetPort().GetName(),
		Protocol: r.protocol(field+".port.protocol", l.GetPort().GetProtocol()),
		Bind:     l.GetBind(), Endpoint: l.GetDefaultEndpoint(), NoCapture: l.GetCaptureMode() == api.CaptureMode_NONE,
		Connections: r.connections(field+".connectionPool", l.GetConnectionPool()),
	}
	if l.GetBind() != "" {
		if a, err := netip.ParseAddr(l.GetBind()); err != nil || a.Zone() != "" {
			r.refuse(field+".bind", "%.100q is no address; write one, Unix sockets can't be here", l.GetBind())
		}
	}
	r.noTarget(field, l.GetPort())
	r.portName(field, l.GetPort())
	r.defaultEndpoint(field+".defaultEndpoint", l.GetDefaultEndpoint())
	if t := l.GetTls(); t != nil {
		if l.GetPort().GetProtocol() == "" {
			r.reject(field+".port.protocol", "TLS is ended for HTTPS or TLS, and it is neither; name one of them, or remove tls")
		}
		out.TLS = r.serverTLS(field+".tls", t)
		if strings.EqualFold(l.GetPort().GetProtocol(), "HTTPS") {
			out.Protocol = model.HTTP // what is inside
		} else if out.Protocol == model.TLS {
			out.Protocol = model.TCP
		}
		switch out.TLS.Mode {
		case model.TerminateTLS, model.MutualListenerTLS, model.OptionalMutualTLS:
		default:
			r.refuse(field+".tls.mode", "%s can't be at a sidecar; use SIMPLE, MUTUAL or OPTIONAL_MUTUAL", t.GetMode())
		}
	}
	if slices.ContainsFunc(to.Ingress, func(o model.Ingress) bool { return o.Port == out.Port }) {
		r.refuse(field+".port.number", "port %d is there already, which is used; name each port once", out.Port)
	}
	if r.refusals == before {
		to.Ingress = append(to.Ingress, out)
	}
}

// defaultEndpoint is where the application listens.
func (r *reader) defaultEndpoint(field, text string) {
	if text == "" || strings.HasPrefix(text, "unix://") && isSocket(text) {
		return
	}
	a, err := netip.ParseAddrPort(text)
	if err == nil && a.Port() != 0 {
		switch a.Addr().String() {
		case "127.0.0.1", "0.0.0.0", "::1", "::":
			return
		}
	}
	r.refuse(field, "%.150q is no place of the application; write 127.0.0.1:port, [::1]:port, 0.0.0.0:port, [::]:port or unix:///path", text)
}
