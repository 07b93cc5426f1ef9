// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// printMesh writes a mesh as lines: services with their ports and endpoints,
// workloads with their inbound ports, problems. Settings that every scenario
// has are left out.
func printMesh(m *model.Mesh) string {
	var b strings.Builder
	printSettings(&b, m.Settings)
	for _, s := range m.Services {
		printService(&b, s)
	}
	for _, w := range m.Workloads {
		printWorkload(&b, w)
	}
	for _, p := range m.Problems {
		name := p.Name
		if p.Namespace != "" {
			name = p.Namespace + "/" + name
		}
		fmt.Fprintf(&b, "problem %s %s %s: %s\n  %s\n", p.Kind, name, p.Field, p.Reason, p.Message)
	}
	return b.String()
}

// words joins what is there.
func words(all ...string) string {
	var kept []string
	for _, w := range all {
		if w != "" {
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, " ")
}

func flag2(name string, on bool) string {
	if on {
		return name
	}
	return ""
}

func named[T ~string](name string, value T) string {
	if value == "" {
		return ""
	}
	return name + "=" + string(value)
}

func list[T any](name string, all []T) string {
	if len(all) == 0 {
		return ""
	}
	return name + "=" + strings.Trim(strings.ReplaceAll(fmt.Sprint(all), " ", ","), "[]")
}

func locality(l model.Locality) string {
	return named("at", strings.TrimRight(l.Region+"/"+l.Zone+"/"+l.SubZone, "/"))
}

func printSettings(b *strings.Builder, s *model.Settings) {
	timeout := ""
	if s.ConnectTimeoutMillis != 10_000 {
		timeout = fmt.Sprintf("connect-timeout=%dms", s.ConnectTimeoutMillis)
	}
	fmt.Fprintln(b, words("mesh", named("cluster", s.Cluster), named("network", s.Network),
		named("trust-domain", s.TrustDomain), list("aliases", s.TrustDomainAliases), named("root", s.RootNamespace),
		locality(s.Locality), flag2("registry-only", s.OutboundRegistryOnly), flag2("by-name", s.OutboundByName), flag2("no-auto-mtls", !s.AutoMTLS),
		named("access-log", s.AccessLogPath), flag2("json", s.AccessLogJSON), named("format", s.AccessLogFormat), timeout,
		flag2("http2-upgrade", s.HTTP2Upgrade), number("dns-refresh-ms", s.DNSRefreshMillis), number("detection-ms", s.DetectionMillis),
		list("services-to", s.ServiceExportTo), list("routings-to", s.RoutingExportTo), list("policies-to", s.PolicyExportTo)))
	show := func(name string, value any, zero bool) {
		if !zero {
			fmt.Fprintf(b, "  %s %+v\n", name, value)
		}
	}
	show("path-normalization", s.PathNormalization, s.PathNormalization == 0)
	show("mesh-tls", s.MeshTLS, reflect.ValueOf(s.MeshTLS).IsZero())
	show("other-tls", s.OtherTLS, reflect.ValueOf(s.OtherTLS).IsZero())
	if l := s.LocalityBalancing; l != nil {
		flat := *l
		flat.Zones = nil // a pointer
		show("localities", flat, false)
		if z := l.Zones; z != nil && z.MinimumHosts != nil {
			show("zones", fmt.Sprint("of ", *z.MinimumHosts), false)
		}
	}
	if l := s.OutboundTLS; l != nil {
		show("outbound-tls", *l, false)
	}
	if p := s.Connections; p != nil {
		show("connections", fmt.Sprint("max=", p.MaxConnections), false)
	}
	if o := s.Outliers; o != nil {
		show("outliers", fmt.Sprint("errors=", *o.Consecutive5xx), false)
	}
	if r := s.Retries; r != nil {
		backoff := time.Duration(0)
		if r.Backoff != nil {
			backoff = *r.Backoff
		}
		show("retries", words(fmt.Sprint(r.Attempts), list("on", r.On), list("statuses", r.Statuses), flag2("remote", r.RemoteLocalities),
			flag2("any-host", r.AnyHost), "backoff="+backoff.String()), false)
	}
	if k := s.TCPKeepalive; k != nil {
		show("keepalive", *k, false)
	}
	for _, p := range s.Providers {
		show("provider", p, false)
	}
}

func number(name string, n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%s=%d", name, n)
}

// visible is who sees a service; nothing for everybody.
func visible(v model.Visibility) string {
	switch {
	case !v.Limited:
		return ""
	case len(v.Namespaces) == 0:
		return "seen-by-nobody"
	}
	return list("seen-by", v.Namespaces)
}

func printService(b *strings.Builder, s model.ServiceState) {
	v := s.Service
	kind := [...]string{"ClusterIP", "Headless", "ExternalName"}[v.Kind]
	fmt.Fprintln(b, words("service", string(v.Hostname), kind, list("vip", v.Addresses), named("to", v.ExternalName),
		flag2("local", v.Local), flag2("exported", v.Exported), flag2("imported", v.Imported), flag2("prefer-close", v.PreferClose),
		list("alias", v.Aliases), list("range", v.Ranges), flag2("allocated", v.Allocated), flag2("external", v.External),
		[...]string{"", "as-called", "dns", "dns-round-robin", "by-host"}[v.Resolution], visible(v.Visible), list("names", v.SubjectNames)))
	if v.Origin.Kind != "Service" && v.Origin.Kind != "ServiceImport" {
		fmt.Fprintln(b, words("  of", v.Origin.Kind, v.Origin.Namespace+"/"+v.Origin.Name))
	}
	if v.ExportedUnix != 0 {
		fmt.Fprintf(b, "  exported-at %d\n", v.ExportedUnix)
	}
	for _, id := range v.Identities {
		fmt.Fprintf(b, "  identity %s\n", id)
	}
	for i, p := range v.Ports {
		fmt.Fprintln(b, words("  port", fmt.Sprint(p.Number), p.Name, p.Protocol.String(), number("target", int64(p.Target))))
		endpoint := func(indent string, e model.Endpoint) {
			weight := ""
			if e.Weight != 1 {
				weight = fmt.Sprintf("weight=%d", e.Weight)
			}
			fmt.Fprintln(b, words(indent+"endpoint", fmt.Sprintf("%s:%d", e.Address, e.Port), weight, flag2("mtls", e.MTLS),
				flag2("gateway", e.Gateway), flag2("draining", e.Draining), locality(e.Locality), named("cluster", e.Cluster),
				named("network", e.Network), named("hostname", e.Hostname), named("workload", e.Workload), named("labels", e.Labels)))
		}
		for _, e := range s.Endpoints[i].Endpoints {
			endpoint("    ", e)
		}
		for _, beyond := range s.Endpoints[i].Beyond {
			fmt.Fprintln(b, words("    beyond", beyond.Name, named("labels", beyond.Labels), list("members", beyond.Members)))
			for _, e := range beyond.Endpoints {
				endpoint("      ", e)
			}
		}
	}
}

func printWorkload(b *strings.Builder, w *model.Workload) {
	mode := [...]string{"permissive", "strict", "disable"}
	fmt.Fprintln(b, words("workload", w.Namespace+"/"+w.Name, list("ip", w.Addresses), flag2("meshed", w.Meshed), mode[w.MTLS],
		locality(w.Locality), named("network", w.Network), named("identity", w.Identity)))
	for _, p := range w.PortMTLS {
		fmt.Fprintf(b, "  mtls %d %s\n", p.Port, mode[p.Mode])
	}
	for _, p := range w.Inbound {
		fmt.Fprintf(b, "  inbound %d %s %s:%d\n", p.Port, p.Protocol, p.Service, p.ServicePort)
	}
}
