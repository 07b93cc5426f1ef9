// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/encoding/protojson"
	meshv1alpha1 "istio.io/api/mesh/v1alpha1"

	"github.com/isthmesh/isthmesh/controlplane/agent"
	"github.com/isthmesh/isthmesh/controlplane/agent/machine"
	"github.com/isthmesh/isthmesh/controlplane/agent/readiness"
)

// The files of a machine outside the cluster, where Istio has them. A pod has
// none of them.
const (
	clusterFile    = "/var/lib/istio/envoy/cluster.env"
	meshFile       = "/etc/istio/config/mesh"
	certsDirectory = "/etc/certs"
	// machineLabels is the variable with the labels, since nothing else tells them.
	machineLabels = "ISTIO_METAJSON_LABELS"
)

// host is what a machine knows of itself.
type host struct {
	name      string
	addresses []netip.Addr
}

// thisHost asks the operating system. What it doesn't say, variables must.
func thisHost() host {
	name, _ := os.Hostname()
	all, _ := net.InterfaceAddrs()
	h := host{name: name}
	for _, a := range all {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().IsGlobalUnicast() {
			h.addresses = append(h.addresses, prefix.Addr())
		}
	}
	slices.SortStableFunc(h.addresses, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
	return h
}

// machineEnvironment is that of the agent on a machine: its own, then what the
// files say, then what the machine knows of itself. In a pod, where the files are
// not there, it is as it was.
func machineEnvironment(env variables, read func(string) ([]byte, error), h host) (variables, bool, error) {
	cluster, err := read(clusterFile)
	if errors.Is(err, fs.ErrNotExist) {
		return env, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read the machine's variables: %w", err)
	}
	mesh, err := read(meshFile)
	if err != nil {
		return nil, false, fmt.Errorf("read the machine's configuration (mesh.yaml of isthmesh workload configure): %w", err)
	}
	said, err := machine.Variables(cluster, mesh)
	if err != nil {
		return nil, false, fmt.Errorf("%s and %s: %w", clusterFile, meshFile, err)
	}
	out := variables{}
	maps.Copy(out, env)
	fill := func(name, value string) {
		if out[name] == "" && value != "" {
			out[name] = value
		}
	}
	for name, value := range said {
		fill(name, value)
	}
	fill("POD_NAMESPACE", out["ISTIO_NAMESPACE"])
	fill("SERVICE_ACCOUNT", "default")
	fill("POD_NAME", h.name)
	fill("INSTANCE_IP", out["ISTIO_SVC_IP"])
	if out["INSTANCE_IP"] == "" && out["INSTANCE_IPS"] == "" {
		var texts []string
		for _, a := range h.addresses {
			texts = append(texts, a.String())
		}
		fill("INSTANCE_IPS", strings.Join(texts, ","))
	}
	return out, true, nil
}

// machineSettings are those that are others than a pod's.
func machineSettings(s *agent.Settings, env variables) error {
	s.CertificateDirectory = env.or("OUTPUT_CERTS", certsDirectory)
	s.RootFile = filepath.Join(env.or("PROV_CERT", certsDirectory), "root-cert.pem")
	var c meshv1alpha1.ProxyConfig
	err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(env.or("PROXY_CONFIG", "{}")), &c)
	at := s.Node.Addresses
	if env["REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION"] == "true" {
		at = nil // which isn't the machine's own
	}
	if err == nil {
		s.Readiness, err = readiness.Parse(c.GetReadinessProbe(), at)
	}
	if err != nil {
		return fmt.Errorf("readinessProbe of the machine's configuration (probe of its WorkloadGroup): %w", err)
	}
	return nil
}

// machineFlags sets the flags of redirect that nobody gave to what a machine's
// files say.
func machineFlags(flags *pflag.FlagSet, env variables, read func(string) ([]byte, error)) error {
	env, onMachine, err := machineEnvironment(env, read, host{})
	if err != nil || !onMachine {
		return err
	}
	if mode := env["ISTIO_INBOUND_INTERCEPTION_MODE"]; mode != "" && mode != "REDIRECT" {
		return fmt.Errorf("ISTIO_INBOUND_INTERCEPTION_MODE is %q: traffic is always led through the proxy by REDIRECT; remove it", mode)
	}
	for _, f := range []struct{ flag, variable string }{
		{"include-inbound-ports", "ISTIO_INBOUND_PORTS"},
		{"exclude-inbound-ports", "ISTIO_LOCAL_EXCLUDE_PORTS"},
		{"include-outbound-ranges", "ISTIO_SERVICE_CIDR"},
		{"exclude-outbound-ranges", "ISTIO_SERVICE_EXCLUDE_CIDR"},
		{"exclude-outbound-ports", "ISTIO_LOCAL_OUTBOUND_PORTS_EXCLUDE"},
		{"capture-dns", "ISTIO_META_DNS_CAPTURE"},
	} {
		if flags.Changed(f.flag) || env[f.variable] == "" {
			continue
		}
		if err := flags.Set(f.flag, env[f.variable]); err != nil {
			return fmt.Errorf("%s: %w", f.variable, err)
		}
	}
	return nil
}
