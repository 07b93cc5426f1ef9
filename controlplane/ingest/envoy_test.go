// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/test/envoybin"
)

// arguments of the operators that need one, where any word would not do.
var arguments = map[string]string{
	"COMMON_DURATION": "DS_RX_BEG:US_TX_BEG:ms", "METADATA": "ROUTE:a:b", "FILTER_STATE": "a:PLAIN", "UPSTREAM_FILTER_STATE": "a:PLAIN",
	"DYNAMIC_METADATA": "a:b", "CLUSTER_METADATA": "a:b", "UPSTREAM_METADATA": "a:b",
}

// TestEnvoyKnowsWhatIsLetThrough: what MeshConfig may name of log operators,
// cipher suites and curves, a real Envoy takes: one that it refused would cost
// every listener.
func TestEnvoyKnowsWhatIsLetThrough(t *testing.T) {
	var format strings.Builder
	for _, name := range slices.Sorted(maps.Keys(ingest.LogOperators)) {
		format.WriteString("%" + name)
		if ingest.LogOperators[name] {
			argument := arguments[name]
			if argument == "" {
				argument = "X"
			}
			format.WriteString("(" + argument + ")")
		}
		format.WriteString("% ")
	}
	if why := ingest.WrongFormat(format.String()); why != "" {
		t.Fatalf("%s: %s", format.String(), why)
	}
	type object = map[string]any
	log := object{
		"name": "envoy.access_loggers.file",
		"typed_config": object{
			"@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": "/dev/null",
			"log_format": object{"text_format_source": object{"inline_string": format.String()}, "formatters": []any{object{
				"name": "envoy.formatter.req_without_query", "typed_config": object{"@type": "type.googleapis.com/envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery"},
			}}},
		},
	}
	tcp := object{"name": "envoy.filters.network.tcp_proxy", "typed_config": object{
		"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "t", "cluster": "c",
		"access_log": []any{log},
	}}
	bootstrap := object{"static_resources": object{
		"listeners": []any{object{
			"name": "l", "address": object{"socket_address": object{"address": "127.0.0.1", "port_value": 0}},
			"filter_chains": []any{object{"filters": []any{tcp}}},
		}},
		"clusters": []any{object{
			"name": "c", "type": "STATIC",
			"transport_socket": object{"name": "envoy.transport_sockets.tls", "typed_config": object{
				"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
				"common_tls_context": object{"tls_params": object{
					"cipher_suites": ingest.CipherSuites, "ecdh_curves": ingest.Curves,
				}},
			}},
		}},
	}}
	data, err := json.Marshal(bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "bootstrap.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), envoybin.Path(t), "--mode", "validate", "-c", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestIsStatus: Envoy's own list is the one that is meant.
func TestIsStatus(t *testing.T) {
	for n := range uint32(1000) {
		if _, known := typev3.StatusCode_name[int32(n)]; ingest.IsStatus(n) != (known && n > 0) {
			t.Errorf("%d: got %v", n, ingest.IsStatus(n))
		}
	}
}

// TestWrongFormats: what Envoy refuses is named.
func TestWrongFormats(t *testing.T) {
	for name, format := range map[string]string{
		"Unknown": "%NOPE%", "Open": "%REQ(X", "NoArgument": "%REQ%", "NoEnd": "%PROTOCOL", "LengthWithoutNumber": "%REQ(X):a%",
		"Alone": "100 %", "Trailing": "%REQ(X)x%",
	} {
		t.Run(name, func(t *testing.T) {
			if why := ingest.WrongFormat(format); why == "" {
				t.Errorf("%q is let through", format)
			}
		})
	}
	for name, format := range map[string]string{
		"Text": "plain", "Percent": "100 %%", "Length": "%REQ(X?:Y):10%", "Time": "%START_TIME(%s.%3f)%", "Empty": "",
	} {
		t.Run(name, func(t *testing.T) {
			if why := ingest.WrongFormat(format); why != "" {
				t.Errorf("%q is refused: %s", format, why)
			}
		})
	}
}
