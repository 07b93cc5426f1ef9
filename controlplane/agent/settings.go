// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/isthmesh/isthmesh/controlplane/agent/bootstrap"
	"github.com/isthmesh/isthmesh/controlplane/agent/metrics"
	"github.com/isthmesh/isthmesh/controlplane/agent/probe"
	"github.com/isthmesh/isthmesh/controlplane/agent/process"
	"github.com/isthmesh/isthmesh/controlplane/agent/readiness"
	"github.com/isthmesh/isthmesh/federation/trust"
)

// The ports that the proxy has in every pod.
const (
	AdminPort   uint16 = 15000
	StatusPort  uint16 = 15020
	HealthPort  uint16 = 15021
	DNSPort     uint16 = 15053
	MetricsPort uint16 = 15090
)

// Settings are all that the agent of one pod depends on. The program reads
// them from its environment once; nothing below does.
type Settings struct {
	// Node is who the proxy is; TrustDomain is the first part of its identity,
	// and of that which the control plane must have.
	Node        bootstrap.Node
	TrustDomain string

	// Discovery and CA are "host:port" of the control plane, DiscoveryName and
	// CAName the names that their certificates must have.
	Discovery, DiscoveryName string
	CA, CAName               string
	CertificateTTL           time.Duration
	RootFile, TokenFile      string
	// CertificateDirectory is where the certificate is kept for the next request;
	// empty where the token is always fresh.
	CertificateDirectory string

	// Directory holds the bootstrap and the secret socket.
	Directory string
	// EnvoyPath is the binary.
	EnvoyPath                   string
	Concurrency                 int
	LogLevel, ComponentLogLevel string
	// EnvoyOutput takes what Envoy logs.
	EnvoyOutput io.Writer

	// DrainTime is how long listeners stay open while Envoy drains. The agent
	// waits between DrainAtLeast and DrainAtMost for connections to end.
	DrainTime, DrainAtLeast, DrainAtMost time.Duration
	// DrainAll begins with all listeners; otherwise with the inbound ones.
	DrainAll bool

	Stats bootstrap.Stats
	// LogService takes access logs; the zero value is none.
	LogService bootstrap.LogService
	// FlushInterval is how long access logs wait in memory.
	FlushInterval time.Duration
	// FlushKilobytes is how much of them may wait; 0 is Envoy's own default.
	FlushKilobytes uint32
	// Environment of Envoy, as "NAME=value", sorted: what its configuration may name.
	Environment []string
	// Runtime are values of Envoy's runtime.
	Runtime map[string]string
	// MaxConnections from downstream; MemoryLimit is the container's, in
	// bytes, or zero without one.
	MaxConnections, MemoryLimit uint64

	// Ports, changed only where tests share one host.
	AdminPort, StatusPort, HealthPort, MetricsPort, DNSPort uint16
	// Probes of the application that the kubelet sends to the agent.
	Probes probe.Probers
	// Readiness of a machine's application, which the control plane is told; nil
	// for none.
	Readiness *readiness.Probe
	// Application is where the application's own metrics are; nil for none.
	Application *metrics.Source
	// Nameservers and Search of the pod, for DNS.
	Nameservers []netip.AddrPort
	Search      []string
}

// Defaults are what a pod has that says nothing else.
func Defaults() Settings {
	return Settings{
		Discovery: "istiod.istio-system.svc:15012", CA: "istiod.istio-system.svc:15012",
		TrustDomain: "cluster.local", CertificateTTL: 24 * time.Hour,
		RootFile:  "/var/run/secrets/istio/root-cert.pem",
		TokenFile: "/var/run/secrets/tokens/istio-token",
		Directory: "/etc/istio/proxy", EnvoyPath: "/usr/local/bin/envoy",
		Concurrency: 2, LogLevel: "warning", ComponentLogLevel: "misc:error",
		// A call that was on its way to a pod while its application ended is told
		// so by the sidecar, which therefore stays a moment longer.
		DrainTime: 45 * time.Second, DrainAtLeast: time.Second, DrainAtMost: 5 * time.Second, FlushInterval: time.Second,
		MaxConnections: 1<<31 - 1,
		AdminPort:      AdminPort, StatusPort: StatusPort, HealthPort: HealthPort, MetricsPort: MetricsPort, DNSPort: DNSPort,
	}
}

// Identity is the workload's SPIFFE ID.
func (s *Settings) Identity() string {
	return "spiffe://" + s.TrustDomain + "/ns/" + s.Node.Namespace + "/sa/" + s.Node.ServiceAccount
}

// controlPlane is the identity that the control plane's certificates must have.
// Unlike their names, it is the member's own.
func (s *Settings) controlPlane() (spiffeid.ID, error) {
	domain, err := spiffeid.TrustDomainFromString(s.TrustDomain)
	if err != nil {
		return spiffeid.ID{}, fmt.Errorf("trust domain %q: %w", s.TrustDomain, err)
	}
	return trust.ControlPlaneID(domain)
}

func (s *Settings) secretSocket() string  { return filepath.Join(s.Directory, "sds.sock") }
func (s *Settings) bootstrapFile() string { return filepath.Join(s.Directory, "envoy.json") }

func (s *Settings) bootstrap() (bootstrap.Options, error) {
	controlPlane, err := s.controlPlane()
	if err != nil {
		return bootstrap.Options{}, err
	}
	return bootstrap.Options{
		Node:      s.Node,
		Discovery: s.Discovery, DiscoveryName: nameOr(s.DiscoveryName, s.Discovery), DiscoveryID: controlPlane,
		SDSSocket: s.secretSocket(),
		AdminPort: s.AdminPort, HealthPort: s.HealthPort, MetricsPort: s.MetricsPort, StatusPort: s.StatusPort,
		IPv6:           s.ipv6(),
		MaxConnections: s.MaxConnections,
		Stats:          s.Stats,
		LogService:     s.LogService,
		Runtime:        s.Runtime,
		MaxHeap:        maxHeap(s.MemoryLimit),
	}, nil
}

func (s *Settings) process() process.Options {
	return process.Options{
		Path: s.EnvoyPath, Bootstrap: s.bootstrapFile(), Concurrency: s.Concurrency,
		DrainTime: s.DrainTime, FlushInterval: s.FlushInterval, FlushKilobytes: s.FlushKilobytes, LogLevel: s.LogLevel, ComponentLogLevel: s.ComponentLogLevel,
		Environment: s.Environment, Output: s.EnvoyOutput,
	}
}

func (s *Settings) ipv6() bool {
	for _, a := range s.Node.Addresses {
		if a.Is6() {
			return true
		}
	}
	return false
}

// maxHeap is what Envoy gets of the container's memory: the agent and what is
// not heap take the rest.
func maxHeap(limit uint64) uint64 {
	const others = 64 << 20
	if limit <= 2*others {
		return 0
	}
	return limit - others
}

// nameOr is the name that a server's certificate must have: what is said, or
// the host of its address.
func nameOr(name, address string) string {
	if name != "" {
		return name
	}
	if i := strings.LastIndexByte(address, ':'); i >= 0 {
		return address[:i]
	}
	return address
}
