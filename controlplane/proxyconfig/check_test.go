// SPDX-License-Identifier: Apache-2.0

package proxyconfig_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	meshapi "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/proxyconfig"
)

func read(t *testing.T, text string) *meshapi.ProxyConfig {
	t.Helper()
	out := &meshapi.ProxyConfig{}
	data, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = out.UnmarshalJSON(data)
	}
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out
}

func TestCheck(t *testing.T) {
	cases := map[string]struct {
		text  string
		scope proxyconfig.Scope
		// want are fields with their reasons.
		want []string
		// left after Drop, as JSON.
		left string
	}{
		"AllThatIsHonoured": {
			text: `{concurrency: 0, discoveryAddress: "a:1", drainDuration: 5m, fileFlushInterval: 10ms, fileFlushMinSizeKb: 4, image: {imageType: x},
  meshId: m, proxyMetadata: {A: b}, proxyStatsMatcher: {inclusionRegexps: [".*"]}, runtimeValues: {a: "1"}, serviceCluster: s, statsdUdpAddress: "10.0.0.1:9125",
  terminationDrainDuration: 0s, holdApplicationUntilProxyStarts: true, gatewayTopology: {numTrustedProxies: 1}, envoyAccessLogService: {address: "a.b:1", tlsSettings: {mode: ISTIO_MUTUAL}, tcpKeepalive: {probes: 3}}}`,
		},
		"FixedAnyway": {text: `{configPath: ./etc/istio/proxy, binaryPath: /usr/local/bin/envoy, proxyAdminPort: 15000, statusPort: 15020, controlPlaneAuthPolicy: MUTUAL_TLS, statNameLength: 189, interceptionMode: REDIRECT, tracingServiceName: CANONICAL_NAME_ONLY}`},
		"FixedOtherwise": {
			text: `{configPath: /x, proxyAdminPort: 1, statusPort: 1, interceptionMode: TPROXY}`,
			want: []string{"configPath NotSupported", "interceptionMode Invalid", "proxyAdminPort NotSupported", "statusPort NotSupported"},
			left: `{"configPath":"/x","proxyAdminPort":1,"statusPort":1}`,
		},
		"NotHonoured": {
			text: `{tracing: {sampling: 1}, proxyHeaders: {server: {value: x}}, caCertificatesPem: [x], readinessProbe: {tcpSocket: {port: 1}}, extraStatTags: [a], privateKeyProvider: {cryptomb: {pollDelay: 1s}}, connectionSettings: {profile: EDGE}, statsCompression: false, zipkinAddress: "z:1"}`,
			want: []string{
				"caCertificatesPem NotSupported", "connectionSettings NotSupported", "extraStatTags NotSupported",
				"privateKeyProvider NotSupported", "proxyHeaders NotSupported", "readinessProbe NotSupported", "statsCompression NotSupported", "tracing NotSupported", "zipkinAddress NotSupported",
			},
		},
		"WrongValues": {
			text: `{concurrency: -1, drainDuration: 0s, fileFlushInterval: -1s, statsdUdpAddress: "statsd:9125", image: {imageType: "a b"}, proxyStatsMatcher: {inclusionRegexps: [a, "("], inclusionPrefixes: [p]}, terminationDrainDuration: 100h, meshId: m}`,
			want: []string{"concurrency Invalid", "drainDuration Invalid", "fileFlushInterval Invalid", "image.imageType Invalid", "proxyStatsMatcher.inclusionRegexps[1] Invalid", "statsdUdpAddress Invalid", "terminationDrainDuration Invalid"},
			left: `{"meshId":"m"}`,
		},
		"LogServiceAddress": {text: `{envoyAccessLogService: {address: "a"}}`, want: []string{"envoyAccessLogService.address Invalid"}, left: `{}`},
		"LogServiceTLS":     {text: `{envoyAccessLogService: {address: "a:1", tlsSettings: {mode: SIMPLE}}}`, want: []string{"envoyAccessLogService.tlsSettings Invalid"}, left: `{}`},
		"TooManyWorkers":    {text: `{concurrency: 1000000}`, want: []string{"concurrency Invalid"}, left: `{}`},
		"Variables": {
			text: `{proxyMetadata: {TRUST_DOMAIN: evil, CA_ADDR: x, LD_PRELOAD: x, KUBERNETES_SERVICE_HOST: x, "a b": x, ISTIO_META_HTTP10: "1", GOOD: x}}`,
			want: []string{
				"proxyMetadata[CA_ADDR] NotSupported", "proxyMetadata[ISTIO_META_HTTP10] NotSupported", "proxyMetadata[KUBERNETES_SERVICE_HOST] NotSupported",
				"proxyMetadata[LD_PRELOAD] NotSupported", "proxyMetadata[TRUST_DOMAIN] NotSupported", "proxyMetadata[a b] Invalid",
			},
			left: `{"proxyMetadata":{"GOOD":"x","ISTIO_META_HTTP10":"1"}}`,
		},
		"TopologyAtASidecar": {text: `{gatewayTopology: {numTrustedProxies: 1}}`, scope: proxyconfig.Sidecar, want: []string{"gatewayTopology NoEffect"}},
		"TopologyAtAGateway": {text: `{gatewayTopology: {numTrustedProxies: 1}}`, scope: proxyconfig.Gateway},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			config := read(t, c.text)
			var got []string
			for _, f := range proxyconfig.Check(config, c.scope) {
				got = append(got, f.Field+" "+f.Reason)
				if !strings.Contains(f.Message, ";") && !strings.Contains(f.Message, ": ") {
					t.Errorf("%s: message %q doesn't say what mends it", f.Field, f.Message)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if c.left != "" {
				if diff := cmp.Diff(canonical(t, []byte(c.left)), canonical(t, marshal(t, proxyconfig.Drop(config)))); diff != "" {
					t.Errorf("left (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func marshal(t *testing.T, c *meshapi.ProxyConfig) []byte {
	t.Helper()
	out, err := protojson.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func canonical(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestEveryFieldIsSpokenFor: a field that Istio adds is honoured, or said not to be.
func TestEveryFieldIsSpokenFor(t *testing.T) {
	silent := map[protoreflect.Name]bool{
		"concurrency": true, "discovery_address": true, "drain_duration": true, "file_flush_interval": true, "file_flush_min_size_kb": true,
		"hold_application_until_proxy_starts": true, "image": true, "mesh_id": true, "proxy_metadata": true, "proxy_stats_matcher": true, "runtime_values": true,
		"service_cluster": true, "statsd_udp_address": true, "termination_drain_duration": true, "tracing_service_name": true,
	}
	fields := (&meshapi.ProxyConfig{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		c := &meshapi.ProxyConfig{}
		switch m := c.ProtoReflect(); {
		case f.IsList():
			list := m.Mutable(f).List()
			list.Append(list.NewElement())
		case f.IsMap():
			m.Mutable(f).Map().Set(protoreflect.ValueOfString("a").MapKey(), protoreflect.ValueOfString("b"))
		case f.Message() != nil:
			m.Mutable(f)
		case f.Kind() == protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString("10.0.0.1:1"))
		case f.Enum() != nil:
			m.Set(f, protoreflect.ValueOfEnum(f.Enum().Values().Get(f.Enum().Values().Len()-1).Number()))
		default:
			m.Set(f, map[protoreflect.Kind]protoreflect.Value{
				protoreflect.Int32Kind: protoreflect.ValueOfInt32(7), protoreflect.Uint32Kind: protoreflect.ValueOfUint32(7), protoreflect.BoolKind: protoreflect.ValueOfBool(true),
			}[f.Kind()])
		}
		found := proxyconfig.Check(c, proxyconfig.Sidecar)
		told := len(found) > 0 && !strings.Contains(found[0].Message, "don't know it")
		switch {
		case f.Name() == "control_plane_auth_policy": // whose last value is the one that holds
		case silent[f.Name()]:
			if len(found) > 0 && found[0].Reason != proxyconfig.Invalid {
				t.Errorf("%s: found %v", f.Name(), found)
			}
		case !told:
			t.Errorf("%s is neither honoured nor told: %v", f.Name(), found)
		}
	}
}
