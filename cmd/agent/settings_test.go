// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/agent"
	"github.com/isthmesh/isthmesh/controlplane/agent/bootstrap"
	"github.com/isthmesh/isthmesh/controlplane/agent/metrics"
)

func files(in map[string]string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if body, ok := in[name]; ok {
			return []byte(body), nil
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
}

func pod(more map[string]string) variables {
	out := variables{"POD_NAME": "reviews-1", "POD_NAMESPACE": "shop", "SERVICE_ACCOUNT": "reviews", "INSTANCE_IP": "10.1.0.7"}
	for k, v := range more {
		out[k] = v
	}
	return out
}

func TestReadSettings(t *testing.T) {
	version = "1.0"
	basic := func(change func(*agent.Settings)) agent.Settings {
		s := agent.Defaults()
		s.Node = bootstrap.Node{
			Type: "sidecar", Name: "reviews-1", Namespace: "shop", ServiceAccount: "reviews", Version: "1.0", DomainSuffix: "cluster.local",
			Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.7")}, ClusterID: "Kubernetes", Service: "istio-proxy.shop", Metadata: map[string]string{},
		}
		s.Environment = []string{"INSTANCE_IP=10.1.0.7", "POD_NAME=reviews-1", "POD_NAMESPACE=shop", "SERVICE_ACCOUNT=reviews"}
		change(&s)
		return s
	}
	cases := map[string]struct {
		role  string
		env   map[string]string
		files map[string]string
		want  agent.Settings
	}{
		"Least": {want: basic(func(*agent.Settings) {})},
		"Whole": {
			env: map[string]string{
				"INSTANCE_IPS": "10.1.0.7,2001:db8::7", "NODE_NAME": "n1", "TRUST_DOMAIN": "west.shop.example", "CA_ADDR": "ca:15012",
				"ISTIO_META_CLUSTER_ID": "west", "ISTIO_META_NETWORK": "w", "ISTIO_META_MESH_ID": "shop", "ISTIO_META_WORKLOAD_NAME": "reviews",
				"ISTIO_META_OWNER": "o", "ISTIO_META_DNS_CAPTURE": "true", "ISTIO_META_OTHER": "x", "ISTIO_CPU_LIMIT": "3", "ISTIO_MEMORY_LIMIT": "1073741824",
				"PROXY_CONFIG":                 `{"discoveryAddress":"d:15012","terminationDrainDuration":"20s","drainDuration":"30s","proxyStatsMatcher":{"inclusionPrefixes":["cluster"]},"fieldOfTomorrow":1}`,
				"ISTIO_PROMETHEUS_ANNOTATIONS": `{"port":"80"}`,
			},
			files: map[string]string{
				"/etc/istio/pod/labels": "app=\"reviews\"\ntopology.kubernetes.io/region=\"eu\"\ntopology.kubernetes.io/zone=\"eu-1\"\nodd=\"a\\\"b\"\nnonsense\n",
				"/etc/resolv.conf":      "search shop.svc.cluster.local svc.cluster.local\nnameserver 10.96.0.10\nnameserver 2001:db8::10\noptions ndots:5\n",
			},
			want: basic(func(s *agent.Settings) {
				n := &s.Node
				n.Addresses = append(n.Addresses, netip.MustParseAddr("2001:db8::7"))
				n.NodeName, n.ClusterID, n.Network, n.MeshID, n.WorkloadName, n.Owner, n.DNSCapture = "n1", "west", "w", "shop", "reviews", "o", true
				n.Metadata = map[string]string{"OTHER": "x"}
				n.Labels = map[string]string{"app": "reviews", "topology.kubernetes.io/region": "eu", "topology.kubernetes.io/zone": "eu-1", "odd": `a"b`}
				n.Region, n.Zone, n.Service = "eu", "eu-1", "reviews.shop"
				n.ProxyConfig = []byte(`{"discoveryAddress":"d:15012","terminationDrainDuration":"20s","drainDuration":"30s","proxyStatsMatcher":{"inclusionPrefixes":["cluster"]},"fieldOfTomorrow":1}`)
				s.TrustDomain, s.CA, s.Discovery, s.Concurrency = "west.shop.example", "ca:15012", "d:15012", 3
				s.MemoryLimit = 1 << 30
				s.Environment = []string{"INSTANCE_IP=10.1.0.7", "NODE_NAME=n1", "POD_NAME=reviews-1", "POD_NAMESPACE=shop", "SERVICE_ACCOUNT=reviews"}
				s.DrainAtMost, s.DrainTime = 20*time.Second, 30*time.Second
				s.Stats.Prefixes = []string{"cluster"}
				s.Application = &metrics.Source{Scheme: "http", Path: "/metrics", Port: "80"}
				s.Nameservers = []netip.AddrPort{netip.MustParseAddrPort("10.96.0.10:53"), netip.MustParseAddrPort("[2001:db8::10]:53")}
				s.Search = []string{"shop.svc.cluster.local", "svc.cluster.local"}
			}),
		},
		"Router": {
			role: "router",
			env:  map[string]string{"PROXY_LOG_LEVEL": "info", "ISTIO_META_DNS_DOMAIN": "shop.svc.corp.example", "DISCOVERY_ADDRESS": "d2:15012", "PROXY_CONFIG": `{"concurrency":0}`, "TERMINATION_DRAIN_DURATION": "45s"},
			want: basic(func(s *agent.Settings) {
				s.Node.Type, s.Node.DomainSuffix, s.Node.Metadata = "router", "corp.example", map[string]string{"DNS_DOMAIN": "shop.svc.corp.example"}
				s.Node.ProxyConfig = []byte(`{"concurrency":0}`)
				s.LogLevel, s.Discovery, s.CA, s.Concurrency = "info", "d2:15012", "d2:15012", 0
				s.DrainAll, s.DrainAtLeast, s.DrainAtMost = true, 5*time.Second, 45*time.Second
			}),
		},
		"ProxyConfig": {
			env: map[string]string{
				"ISTIO_META_MESH_ID": "installed", "ISTIO_CPU_LIMIT": "3", "FOO": "bar", "OTHER": "x", "NODE_NAME": "n1", "ISTIO_META_WORKLOAD_NAME": "reviews",
				"PROXY_CONFIG": `{"concurrency":5,"meshId":"own","fileFlushInterval":"0.010s","fileFlushMinSizeKb":4,"runtimeValues":{"a":"1"},"statsdUdpAddress":"10.0.0.9:9125","proxyMetadata":{"FOO":"bar","NOT_SET":"x"},"tracingServiceName":"CANONICAL_NAME_ONLY","envoyAccessLogService":{"address":"logs:1","tlsSettings":{"mode":"ISTIO_MUTUAL"},"tcpKeepalive":{"probes":3,"time":"1.5s"}}}`,
			},
			want: basic(func(s *agent.Settings) {
				s.Node.MeshID, s.Node.NodeName, s.Node.WorkloadName, s.Node.Service = "own", "n1", "reviews", "reviews"
				s.Node.ProxyConfig = []byte(`{"concurrency":5,"meshId":"own","fileFlushInterval":"0.010s","fileFlushMinSizeKb":4,"runtimeValues":{"a":"1"},"statsdUdpAddress":"10.0.0.9:9125","proxyMetadata":{"FOO":"bar","NOT_SET":"x"},"tracingServiceName":"CANONICAL_NAME_ONLY","envoyAccessLogService":{"address":"logs:1","tlsSettings":{"mode":"ISTIO_MUTUAL"},"tcpKeepalive":{"probes":3,"time":"1.5s"}}}`)
				s.Concurrency, s.FlushInterval, s.FlushKilobytes = 5, 10*time.Millisecond, 4
				s.Runtime = map[string]string{"a": "1"}
				s.Stats.Statsd = netip.MustParseAddrPort("10.0.0.9:9125")
				s.LogService = bootstrap.LogService{Address: "logs:1", MutualTLS: true, Keepalive: true, Probes: 3, Time: 2}
				// Of the container's variables only those that are configured, and the facts.
				s.Environment = []string{"FOO=bar", "INSTANCE_IP=10.1.0.7", "NODE_NAME=n1", "POD_NAME=reviews-1", "POD_NAMESPACE=shop", "SERVICE_ACCOUNT=reviews"}
			}),
		},
		"ServiceCluster": {
			env: map[string]string{"PROXY_CONFIG": `{"serviceCluster":"web"}`},
			want: basic(func(s *agent.Settings) {
				s.Node.Service, s.Node.ProxyConfig = "web", []byte(`{"serviceCluster":"web"}`)
			}),
		},
		"LocalityLabel": {
			files: map[string]string{"/etc/istio/pod/labels": `istio-locality="eu.eu-1.rack-2"`},
			want: basic(func(s *agent.Settings) {
				s.Node.Labels = map[string]string{"istio-locality": "eu.eu-1.rack-2"}
				s.Node.Region, s.Node.Zone, s.Node.SubZone = "eu", "eu-1", "rack-2"
			}),
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := readSettings(first(c.role, "sidecar"), pod(c.env), files(c.files), host{})
			if err != nil {
				t.Fatal(err)
			}
			equal := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
			equalPort := cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
			if diff := cmp.Diff(c.want, got, equal, equalPort); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadSettingsErrors(t *testing.T) {
	cases := map[string]struct {
		env map[string]string
		err string
	}{
		"NoName":      {map[string]string{"POD_NAME": ""}, "POD_NAME is not set"},
		"NoAddress":   {map[string]string{"INSTANCE_IP": ""}, "INSTANCE_IPS and INSTANCE_IP are not set"},
		"BadAddress":  {map[string]string{"INSTANCE_IP": "x"}, "INSTANCE_IP"},
		"ProxyConfig": {map[string]string{"PROXY_CONFIG": "{"}, "PROXY_CONFIG: not a ProxyConfig"},
		"Statsd":      {map[string]string{"PROXY_CONFIG": `{"statsdUdpAddress":"x"}`}, "statsdUdpAddress"},
		"Duration":    {map[string]string{"TERMINATION_DRAIN_DURATION": "5"}, `TERMINATION_DRAIN_DURATION: "5" is not a duration`},
		"Limit":       {map[string]string{"ISTIO_CPU_LIMIT": "many"}, `ISTIO_CPU_LIMIT: "many" is not a number`},
		"Memory":      {map[string]string{"ISTIO_MEMORY_LIMIT": "1Gi"}, `ISTIO_MEMORY_LIMIT: "1Gi" is not a number of bytes`},
		"Probes":      {map[string]string{"ISTIO_KUBE_APP_PROBERS": `{"/x":{}}`}, "ISTIO_KUBE_APP_PROBERS"},
		"Metrics":     {map[string]string{"ISTIO_PROMETHEUS_ANNOTATIONS": `{"port":"x"}`}, "ISTIO_PROMETHEUS_ANNOTATIONS"},
		"Resolver":    {map[string]string{"ISTIO_META_DNS_CAPTURE": "true"}, "read the nameservers of the pod"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := readSettings("sidecar", pod(c.env), files(nil), host{})
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}
