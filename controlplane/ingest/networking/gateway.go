// SPDX-License-Identifier: Apache-2.0

package networking

import (
	"fmt"
	"net/netip"
	"strings"

	api "istio.io/api/networking/v1alpha3"
	networking "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

const kindGateway = "Gateway"

// annotationHTTP3 of a Gateway turns HTTP/3 on where it ends TLS for HTTP.
const annotationHTTP3 = "isthmesh.dev/http3"

func readGateway(o *networking.Gateway, settings *model.Settings) (*model.Gateway, []model.Problem) {
	r := newReader(kindGateway, o, settings)
	selector, ok := r.labels("spec.selector", o.Spec.GetSelector())
	out := &model.Gateway{Origin: r.origin, Selector: selector}
	if !isLabel(o.Name) || strings.Contains(o.Name, "_") {
		r.reject("metadata.name", "%.100q is no name of a Gateway; use up to 63 letters, digits, and hyphens between them", o.Name)
	}
	if len(o.Spec.GetServers()) == 0 {
		r.refuse("spec.servers", "there is none; add a server with port and hosts")
	}
	names := map[string]bool{}
	for i, s := range o.Spec.GetServers() {
		field := at("spec.servers", i)
		before := r.refusals
		l := r.listener(field, s)
		l.HTTP3 = o.Annotations[annotationHTTP3] == "true" && l.Protocol == model.ListenHTTPS
		if l.Name == "" {
			l.Name = fmt.Sprintf("server-%d", i)
		}
		if names[l.Name] {
			r.refuse(field+".port.name", "port name %q is there already; name each port once", l.Name)
			l.Name = fmt.Sprintf("%s-%d", l.Name, i)
		}
		names[l.Name] = true
		l.Invalid = r.refusals > before
		out.Listeners = append(out.Listeners, l)
	}
	if !ok {
		return nil, r.problems
	}
	return out, r.problems
}

func (r *reader) listener(field string, s *api.Server) model.Listener {
	out := model.Listener{Name: s.GetPort().GetName(), Bind: s.GetBind()}
	if s.GetPort() == nil {
		r.refuse(field+".port", "it is missing; give number, name and protocol")
		return out
	}
	if !isListenerName(out.Name) {
		r.refuse(field+".port.name", "%.100q is no name of a port; use letters, digits and hyphens", out.Name)
	}
	r.bind(field, s, &out)
	out.Hosts = r.listenerHosts(field+".hosts", s.GetHosts())
	out.Protocol = r.listenerProtocol(field, s, &out)
	if s.GetDefaultEndpoint() != "" {
		r.tell(field+".defaultEndpoint", notSupported, "gateways send on as VirtualServices say; remove it, and bind a VirtualService")
	}
	if s.GetName() != "" {
		r.tell(field+".name", noEffect, "statistics are named after the port; remove it")
	}
	if s.GetPort().GetTargetPort() != 0 { //nolint:staticcheck // the API still takes it
		r.tell(field+".port.targetPort", noEffect, "the gateway's Service says which port is the target; remove it")
	}
	return out
}

// isListenerName is a part of the name of a route configuration.
func isListenerName(s string) bool { return s != "" && len(s) <= 253 && onlyHas(s, "-_.") }

// bind address: an IP with a port, or a Unix socket without one.
func (r *reader) bind(field string, s *api.Server, out *model.Listener) {
	number := s.GetPort().GetNumber()
	if strings.HasPrefix(s.GetBind(), "unix://") {
		if !isSocket(s.GetBind()) {
			r.refuse(field+".bind", "%.150q is no socket; write unix:///path or unix://@name", s.GetBind())
		}
		if number != 0 {
			r.refuse(field+".port.number", "a Unix socket has no port; use 0")
		}
		return
	}
	out.Port = r.port(field+".port.number", number)
	if s.GetBind() == "" {
		return
	}
	if a, err := netip.ParseAddr(s.GetBind()); err != nil || a.Zone() != "" {
		r.refuse(field+".bind", "%.100q is neither an address nor a Unix socket; write one", s.GetBind())
	}
}

// isSocket is true for the path of a Unix socket, or an abstract name ("@").
func isSocket(text string) bool {
	path := strings.TrimPrefix(text, "unix://")
	return len(path) > 1 && len(path) < 108 && (path[0] == '/' || path[0] == '@') && isHeaderValue(path)
}

// listenerHosts are names with or without the namespace whose routings may use them.
func (r *reader) listenerHosts(field string, hosts []string) []model.ListenerHost {
	if len(hosts) == 0 {
		r.refuse(field, "there is none; name hosts, or \"*\" for all")
	}
	var out []model.ListenerHost
	for i, text := range hosts {
		where := at(field, i)
		namespace, host, slash := strings.Cut(text, "/")
		switch {
		case !slash:
			namespace, host = "", text
		case namespace == "*":
			namespace = ""
		case namespace == ".":
			namespace = r.origin.Namespace
		case !isLabel(namespace):
			r.refuse(where, "%.100q is no namespace; write namespace/host, */host for any, or ./host for this one", namespace)
			continue
		}
		full, ok := r.host(where, host)
		if !ok {
			continue
		}
		if !strings.Contains(host, ".") && host != "*" {
			r.refuse(where, "%q is a short name, which clients from outside don't know; write the full name", host)
			continue
		}
		out = append(out, model.ListenerHost{Namespace: namespace, Host: full})
	}
	return out
}

// listenerProtocol is what the server takes, by its protocol and its TLS.
func (r *reader) listenerProtocol(field string, s *api.Server, out *model.Listener) model.ListenerProtocol {
	t := s.GetTls()
	protocol := strings.ToUpper(s.GetPort().GetProtocol())
	switch protocol {
	case "HTTP", "HTTP2", "GRPC", "GRPC-WEB":
		out.RedirectHTTPS, out.GRPCWeb = t.GetHttpsRedirect(), protocol == "GRPC-WEB"
		if t != nil && tlsBesideRedirect(t) {
			r.refuse(field+".tls", "protocol %s is plain, so there is no TLS to set; use HTTPS, or leave httpsRedirect alone", protocol)
		}
		return model.ListenHTTP
	case "HTTPS", "TLS":
		if t == nil {
			r.refuse(field+".tls", "protocol %s needs TLS settings; add tls with a mode", protocol)
			return model.ListenTLS
		}
		out.TLS = r.serverTLS(field+".tls", t)
		if protocol == "HTTPS" && out.TLS.Mode != model.PassthroughTLS && out.TLS.Mode != model.AutoPassthroughTLS {
			return model.ListenHTTPS
		}
		return model.ListenTLS
	case "TCP", "MONGO", "MYSQL", "REDIS":
		if protocol != "TCP" {
			r.tell(field+".port.protocol", notSupported, "%s is sent on as plain TCP, without looking into it; write TCP", protocol)
		}
		if t == nil {
			return model.ListenTCP
		}
		out.TLS = r.serverTLS(field+".tls", t)
		return model.ListenTLS
	default:
		r.refuse(field+".port.protocol", "%.100q is none that gateways take; use HTTP, HTTP2, GRPC, GRPC-WEB, HTTPS, TLS, TCP or MONGO", s.GetPort().GetProtocol())
		return model.ListenTCP
	}
}

// tlsBesideRedirect is true when more is set than the redirect to https.
func tlsBesideRedirect(t *api.ServerTLSSettings) bool {
	return t.GetMode() != api.ServerTLSSettings_PASSTHROUGH || t.GetServerCertificate() != "" || t.GetPrivateKey() != "" ||
		t.GetCaCertificates() != "" || t.GetCredentialName() != "" || len(t.GetCredentialNames())+len(t.GetTlsCertificates()) > 0 ||
		t.GetCaCertCredentialName() != "" || len(t.GetSubjectAltNames()) > 0 || len(t.GetCipherSuites()) > 0 ||
		t.GetMinProtocolVersion() != 0 || t.GetMaxProtocolVersion() != 0 || t.GetCaCrl() != "" ||
		len(t.GetVerifyCertificateSpki())+len(t.GetVerifyCertificateHash()) > 0 || t.GetInsecureSkipVerify() != nil
}
