// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/isthmesh/isthmesh/controlplane/agent"
	"github.com/isthmesh/isthmesh/controlplane/agent/metrics"
	"github.com/isthmesh/isthmesh/controlplane/agent/probe"
)

// The files that the pod's template mounts, and the container's own.
const (
	labelsFile     = "/etc/istio/pod/labels"
	resolverConfig = "/etc/resolv.conf"
)

// variables are the environment.
type variables map[string]string

func environment(pairs []string) variables {
	out := variables{}
	for _, pair := range pairs {
		if name, value, ok := strings.Cut(pair, "="); ok {
			out[name] = value
		}
	}
	return out
}

// or is a variable, or another value when it is not set or empty.
func (v variables) or(name, other string) string {
	if value := v[name]; value != "" {
		return value
	}
	return other
}

// readSettings turns the environment and the mounted files into settings. Its
// errors name the variable or file to mend.
func readSettings(role string, env variables, read func(string) ([]byte, error), h host) (agent.Settings, error) {
	s := agent.Defaults()
	env, onMachine, err := machineEnvironment(env, read, h)
	if err != nil {
		return s, err
	}
	for _, name := range []string{"POD_NAME", "POD_NAMESPACE", "SERVICE_ACCOUNT"} {
		if env[name] == "" {
			return s, fmt.Errorf("environment variable %s is not set: the pod's template must set it", name)
		}
	}
	n := &s.Node
	n.Type, n.Version = role, version
	n.Name, n.Namespace, n.ServiceAccount = env["POD_NAME"], env["POD_NAMESPACE"], env["SERVICE_ACCOUNT"]
	n.NodeName = env["NODE_NAME"]
	n.DomainSuffix = first(domainSuffix(env["ISTIO_META_DNS_DOMAIN"]), "cluster.local")
	if n.Addresses, err = addresses(env.or("INSTANCE_IPS", env["INSTANCE_IP"])); err != nil {
		return s, err
	}
	if n.Labels, err = readLabels(read); err != nil {
		return s, err
	}
	if text := env[machineLabels]; onMachine && text != "" {
		if err := json.Unmarshal([]byte(text), &n.Labels); err != nil {
			return s, fmt.Errorf("environment variable %s: not a JSON object of labels: %w", machineLabels, err)
		}
	}
	n.ClusterID = env.or("ISTIO_META_CLUSTER_ID", "Kubernetes")
	n.Network, n.MeshID = env["ISTIO_META_NETWORK"], env["ISTIO_META_MESH_ID"]
	n.WorkloadName, n.Owner = env["ISTIO_META_WORKLOAD_NAME"], env["ISTIO_META_OWNER"]
	n.DNSCapture = env["ISTIO_META_DNS_CAPTURE"] == "true"
	n.Metadata = metadata(env)
	n.Service = serviceName(n.Labels, n.WorkloadName, n.Namespace)
	n.Region, n.Zone, n.SubZone = locality(n.Labels)

	s.TrustDomain = env.or("TRUST_DOMAIN", s.TrustDomain)
	s.LogLevel = env.or("PROXY_LOG_LEVEL", s.LogLevel)
	if err := proxyConfig(&s, []byte(env["PROXY_CONFIG"]), env); err != nil {
		return s, fmt.Errorf("environment variable PROXY_CONFIG: %w", err)
	}
	if onMachine {
		if err := machineSettings(&s, env); err != nil {
			return s, err
		}
	}
	s.Discovery = env.or("DISCOVERY_ADDRESS", s.Discovery)
	s.CA = env.or("CA_ADDR", s.Discovery)
	if err := durations(&s, env); err != nil {
		return s, err
	}
	if s.Concurrency, err = concurrency(s.Concurrency, env["ISTIO_CPU_LIMIT"]); err != nil {
		return s, err
	}
	if text := env["ISTIO_MEMORY_LIMIT"]; text != "" {
		if s.MemoryLimit, err = strconv.ParseUint(text, 10, 64); err != nil {
			return s, fmt.Errorf("environment variable ISTIO_MEMORY_LIMIT: %q is not a number of bytes", text)
		}
	}
	if s.Probes, err = probe.Parse([]byte(env[probe.Variable])); err != nil {
		return s, fmt.Errorf("environment variable %s: %w", probe.Variable, err)
	}
	if s.Application, err = metrics.ParseSource([]byte(env[metrics.Variable]), s.StatusPort); err != nil {
		return s, fmt.Errorf("environment variable %s: %w", metrics.Variable, err)
	}
	if n.DNSCapture {
		if s.Nameservers, s.Search, err = resolver(read); err != nil {
			return s, err
		}
	}
	return s, nil
}

func addresses(list string) ([]netip.Addr, error) {
	var out []netip.Addr
	for text := range strings.SplitSeq(list, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("environment variable INSTANCE_IPS or INSTANCE_IP: %w", err)
		}
		out = append(out, a)
	}
	if len(out) == 0 {
		return nil, errors.New("environment variables INSTANCE_IPS and INSTANCE_IP are not set: the pod's template must set one")
	}
	return out, nil
}

// readLabels reads the downward API's file: lines of name="value".
func readLabels(read func(string) ([]byte, error)) (map[string]string, error) {
	body, err := read(labelsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the pod's labels: %w", err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(body)) {
		name, quoted, ok := strings.Cut(strings.TrimSpace(line), "=")
		value, err := strconv.Unquote(quoted)
		if !ok || err != nil {
			continue
		}
		out[name] = value
	}
	return out, nil
}

// metadata is what ISTIO_META_* variables add to the node, but for those that
// have a place of their own.
func metadata(env variables) map[string]string {
	out := map[string]string{}
	for name, value := range env {
		key, ok := strings.CutPrefix(name, "ISTIO_META_")
		if !ok || value == "" {
			continue
		}
		switch key {
		case "CLUSTER_ID", "NETWORK", "MESH_ID", "WORKLOAD_NAME", "OWNER", "DNS_CAPTURE":
		default:
			out[key] = value
		}
	}
	return out
}

func serviceName(labels map[string]string, workload, namespace string) string {
	return first(labels["service.istio.io/canonical-name"], labels["app.kubernetes.io/name"], labels["app"], workload, "istio-proxy") + "." + namespace
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// locality as the pod's labels tell it, where they do.
func locality(labels map[string]string) (region, zone, subzone string) {
	if whole := labels["istio-locality"]; whole != "" {
		// A label's value has no slashes; dots stand for them.
		if !strings.Contains(whole, "/") {
			whole = strings.ReplaceAll(whole, ".", "/")
		}
		parts := append(strings.SplitN(whole, "/", 3), "", "")
		return parts[0], parts[1], parts[2]
	}
	return labels["topology.kubernetes.io/region"], labels["topology.kubernetes.io/zone"], labels["topology.istio.io/subzone"]
}

func durations(s *agent.Settings, env variables) error {
	if s.Node.Type == "router" {
		// Clients find out that a gateway goes only after a while. What it
		// forwards is not told apart as inbound and outbound.
		s.DrainAtLeast, s.DrainAll = 5*time.Second, true
	}
	for name, d := range map[string]*time.Duration{
		"TERMINATION_DRAIN_DURATION": &s.DrainAtMost,
		"MINIMUM_DRAIN_DURATION":     &s.DrainAtLeast,
		"SECRET_TTL":                 &s.CertificateTTL,
	} {
		if env[name] == "" {
			continue
		}
		parsed, err := time.ParseDuration(env[name])
		if err != nil || parsed < 0 {
			return fmt.Errorf("environment variable %s: %q is not a duration such as 5s", name, env[name])
		}
		*d = parsed
	}
	return nil
}

// concurrency is what is configured, else the limit of processors, else 2.
func concurrency(configured int, limit string) (int, error) {
	if configured >= 0 {
		return configured, nil
	}
	if limit == "" {
		return 2, nil
	}
	n, err := strconv.Atoi(limit)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("environment variable ISTIO_CPU_LIMIT: %q is not a number of processors", limit)
	}
	return n, nil
}

// resolver is the pod's own DNS configuration.
func resolver(read func(string) ([]byte, error)) ([]netip.AddrPort, []string, error) {
	body, err := read(resolverConfig)
	if err != nil {
		return nil, nil, fmt.Errorf("read the nameservers of the pod: %w", err)
	}
	config, err := dns.ClientConfigFromReader(strings.NewReader(string(body)))
	if err != nil {
		return nil, nil, fmt.Errorf("read the nameservers of the pod: %w", err)
	}
	var servers []netip.AddrPort
	for _, text := range config.Servers {
		if a, err := netip.ParseAddr(text); err == nil {
			servers = append(servers, netip.AddrPortFrom(a, 53))
		}
	}
	return servers, config.Search, nil
}

// domainSuffix is the cluster's part of "namespace.svc.suffix".
func domainSuffix(domain string) string {
	_, suffix, ok := strings.Cut(domain, ".svc.")
	if !ok {
		return ""
	}
	return suffix
}
