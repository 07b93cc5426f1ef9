// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	meshapi "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/ingest/fields"
)

// meshConfig is a parsed MeshConfig and which of its fields were written.
type meshConfig struct {
	*meshapi.MeshConfig
	// set are the top-level fields in the YAML, sorted; unknown those that do not exist.
	set, unknown []string
	// namesOutbound: outboundTrafficPolicy has a mode (the zero value is a mode too).
	namesOutbound bool
	// nested are the fields below the top level that do not exist, by their paths.
	nested []string
}

// honoured are the fields that settings reads. The injector and the agent read
// defaultConfig; the agent merges metrics, so enablePrometheusMerge may be true.
var honoured = []string{
	"accessLogEncoding", "accessLogFile", "accessLogFormat", "connectTimeout", "defaultConfig",
	"defaultDestinationRuleExportTo", "defaultHttpRetryPolicy", "defaultProviders", "defaultServiceExportTo", "defaultTrafficPolicy", "defaultVirtualServiceExportTo",
	"disableEnvoyListenerLog", "discoverySelectors", "dnsRefreshRate", "enableAutoMtls", "enableEnvoyAccessLogService", "enablePrometheusMerge", "extensionProviders", "h2UpgradePolicy",
	"inboundTrafficPolicy", "ingressClass", "ingressControllerMode", "ingressSelector", "ingressService", "localityLbSetting", "meshMTLS", "outboundTrafficPolicy", "pathNormalization",
	"protocolDetectionTimeout", "rootNamespace", "serviceSettings",
	"tcpKeepalive", "tlsDefaults", "trustDomain", "trustDomainAliases", "zoneAwareLbSetting",
}

// parseMeshConfig reads the YAML of ConfigMap istio, key mesh.
func parseMeshConfig(text string) (*meshConfig, error) {
	parsed := &meshConfig{MeshConfig: &meshapi.MeshConfig{}}
	data, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("not YAML: %w", err)
	}
	if fields.TooDeep(data) {
		return nil, fmt.Errorf("nested deeper than %d levels", fields.MaxDepth)
	}
	written := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &written); err != nil {
		return nil, fmt.Errorf("not a mapping of fields: %w", err)
	}
	known := parsed.ProtoReflect().Descriptor().Fields()
	kept := map[string]json.RawMessage{}
	for _, name := range slices.Sorted(maps.Keys(written)) {
		field := known.ByJSONName(name)
		if field == nil {
			field = known.ByTextName(name)
		}
		if field == nil {
			parsed.unknown = append(parsed.unknown, name)
			continue
		}
		if string(written[name]) == "null" {
			continue
		}
		kept[field.JSONName()] = written[name]
	}
	if data, err = json.Marshal(kept); err != nil {
		return nil, err
	}
	// Istio's own decoder takes durations such as 10ms and 5m; the other one says
	// better what is wrong.
	if err := parsed.UnmarshalJSON(data); err != nil {
		if clear := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &meshapi.MeshConfig{}); clear != nil {
			err = clear
		}
		return nil, cleanProtoError(err)
	}
	if parsed.nested, err = nestedUnknown(data); err != nil {
		return nil, err
	}
	parsed.set = slices.Sorted(maps.Keys(kept))
	parsed.namesOutbound = holds(kept["outboundTrafficPolicy"], "mode")
	return parsed, nil
}

// nestedUnknown are the paths in a MeshConfig that it has no place for.
func nestedUnknown(data []byte) ([]string, error) {
	written := map[string]any{}
	if err := json.Unmarshal(data, &written); err != nil {
		return nil, err
	}
	paths := fields.Unknown(&struct{ Spec meshapi.MeshConfig }{}, map[string]any{"spec": written})
	for i, p := range paths {
		paths[i] = strings.TrimPrefix(p, "spec.")
	}
	return paths, nil
}

// holds is true when a JSON mapping has a field.
func holds(data json.RawMessage, field string) bool {
	fields := map[string]json.RawMessage{}
	return json.Unmarshal(data, &fields) == nil && fields[field] != nil
}

// cleanProtoError makes an error's text stable: protobuf varies the space in it
// by build, which must not show in a Problem.
func cleanProtoError(err error) error {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return fmt.Errorf("%s", strings.TrimPrefix(text, "proto: "))
}
