// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/agent/bootstrap"
)

const (
	clusterEnv = `
ISTIO_INBOUND_PORTS=8080,9090
ISTIO_LOCAL_EXCLUDE_PORTS=22,15020
ISTIO_NAMESPACE=vm
ISTIO_SERVICE_CIDR='*'
SERVICE_ACCOUNT=ratings
`
	meshYAML = `
defaultConfig:
  discoveryAddress: istiod.istio-system.svc:15012
  readinessProbe: {tcpSocket: {port: 3306}, failureThreshold: 7}
  proxyMetadata:
    POD_NAMESPACE: vm
    TRUST_DOMAIN: west.shop.example
    ISTIO_META_CLUSTER_ID: west
    ISTIO_META_WORKLOAD_NAME: ratings
    ISTIO_META_AUTO_REGISTER_GROUP: ratings
    ISTIO_META_DNS_CAPTURE: "true"
    ISTIO_METAJSON_LABELS: '{"app":"ratings"}'
`
)

func machineFiles(change map[string]string) func(string) ([]byte, error) {
	all := map[string]string{clusterFile: clusterEnv, meshFile: meshYAML, resolverConfig: "nameserver 10.0.0.2\n"}
	for name, body := range change {
		all[name] = body
		if body == "" {
			delete(all, name)
		}
	}
	return files(all)
}

func TestMachineSettings(t *testing.T) {
	version = "1.0"
	h := host{name: "db-1.example", addresses: []netip.Addr{netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("2001:db8::7")}}
	s, err := readSettings("sidecar", variables{}, machineFiles(nil), h)
	if err != nil {
		t.Fatal(err)
	}
	config := s.Node.ProxyConfig
	s.Node.ProxyConfig = nil
	want := bootstrap.Node{
		Type: "sidecar", Version: "1.0", Name: "db-1.example", Namespace: "vm", ServiceAccount: "ratings", DomainSuffix: "cluster.local",
		Addresses: h.addresses, ClusterID: "west", WorkloadName: "ratings", Service: "ratings.vm", DNSCapture: true,
		Labels: map[string]string{"app": "ratings"}, Metadata: map[string]string{"AUTO_REGISTER_GROUP": "ratings"},
	}
	if diff := cmp.Diff(want, s.Node, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("node (-want +got):\n%s", diff)
	}
	if !strings.Contains(string(config), `"tcpSocket":{"port":3306}`) {
		t.Errorf("the control plane isn't told of the probe: %s", config)
	}
	if s.Readiness == nil || s.Readiness.Failures != 7 {
		t.Errorf("probe %v", s.Readiness)
	}
	got := []string{s.TrustDomain, s.Discovery, s.CA, s.RootFile, s.TokenFile, s.CertificateDirectory}
	if diff := cmp.Diff([]string{"west.shop.example", "istiod.istio-system.svc:15012", "istiod.istio-system.svc:15012", "/etc/certs/root-cert.pem", "/var/run/secrets/tokens/istio-token", "/etc/certs"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, fact := range []string{"POD_NAMESPACE=vm", "SERVICE_ACCOUNT=ratings"} {
		if !strings.Contains(strings.Join(s.Environment, "\n"), fact) {
			t.Errorf("Envoy has no %s: %v", fact, s.Environment)
		}
	}

	t.Run("OwnVariablesFirst", func(t *testing.T) {
		s, err := readSettings("sidecar", variables{"POD_NAME": "other", "TRUST_DOMAIN": "east.example", "INSTANCE_IP": "10.0.0.9"}, machineFiles(nil), h)
		if err != nil || s.Node.Name != "other" || s.TrustDomain != "east.example" || s.Node.Addresses[0].String() != "10.0.0.9" {
			t.Errorf("%s %s %v %v", s.Node.Name, s.TrustDomain, s.Node.Addresses, err)
		}
	})
	t.Run("AddressIsSaid", func(t *testing.T) {
		s, err := readSettings("sidecar", variables{}, machineFiles(map[string]string{clusterFile: clusterEnv + "ISTIO_SVC_IP=203.0.113.7\n"}), h)
		if err != nil || len(s.Node.Addresses) != 1 || s.Node.Addresses[0].String() != "203.0.113.7" {
			t.Errorf("%v %v", s.Node.Addresses, err)
		}
	})
	for name, c := range map[string]struct {
		files map[string]string
		err   string
	}{
		"NoMesh":   {map[string]string{meshFile: ""}, "mesh.yaml of isthmesh workload configure"},
		"BadProbe": {map[string]string{meshFile: strings.Replace(meshYAML, "3306", "0", 1)}, "readinessProbe of the machine's configuration (probe of its WorkloadGroup): tcpSocket.port is 0"},
		"NotEnv":   {map[string]string{clusterFile: "what"}, clusterFile},
		"Labels":   {map[string]string{meshFile: strings.Replace(meshYAML, `{"app":"ratings"}`, "x", 1)}, "ISTIO_METAJSON_LABELS: not a JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := readSettings("sidecar", variables{}, machineFiles(c.files), h); err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
	// In a pod its container has the probe.
	s, err = readSettings("sidecar", pod(map[string]string{"PROXY_CONFIG": `{"readinessProbe":{"tcpSocket":{"port":1}}}`}), files(nil), h)
	if err != nil || s.Readiness != nil || s.CertificateDirectory != "" {
		t.Errorf("in a pod: %v, %q, %v", s.Readiness, s.CertificateDirectory, err)
	}
}

func TestMachineFlags(t *testing.T) {
	set := func(env variables, read func(string) ([]byte, error), args ...string) (map[string]string, error) {
		flags := redirectCommand().Flags()
		if err := flags.Parse(args); err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		err := machineFlags(flags, env, read)
		for _, name := range []string{"include-inbound-ports", "exclude-inbound-ports", "include-outbound-ranges", "capture-dns"} {
			out[name] = flags.Lookup(name).Value.String()
		}
		return out, err
	}
	cases := map[string]struct {
		env   variables
		files map[string]string
		args  []string
		want  []string
		err   string
	}{
		"Files":      {want: []string{"8080,9090", "22,15020", "*", "true"}},
		"FlagsFirst": {args: []string{"--include-inbound-ports=80", "--capture-dns=false"}, want: []string{"80", "22,15020", "*", "false"}},
		"Variables":  {env: variables{"ISTIO_INBOUND_PORTS": "81"}, want: []string{"81", "22,15020", "*", "true"}},
		"Pod":        {files: map[string]string{clusterFile: ""}, want: []string{"*", "", "*", "false"}},
		"Mode":       {env: variables{"ISTIO_INBOUND_INTERCEPTION_MODE": "TPROXY"}, want: []string{"*", "", "*", "false"}, err: "TPROXY"},
		"DNS":        {env: variables{"ISTIO_META_DNS_CAPTURE": "maybe"}, want: []string{"8080,9090", "22,15020", "*", "false"}, err: "ISTIO_META_DNS_CAPTURE"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := set(c.env, machineFiles(c.files), c.args...)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if diff := cmp.Diff(c.want, []string{got["include-inbound-ports"], got["exclude-inbound-ports"], got["include-outbound-ranges"], got["capture-dns"]}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
