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
)

// meshConfig is a parsed MeshConfig and which of its fields were written.
type meshConfig struct {
	*meshapi.MeshConfig
	// set are the top-level fields in the YAML, sorted; unknown those that do not exist.
	set, unknown []string
	// namesOutbound: outboundTrafficPolicy has a mode (the zero value is a mode too).
	namesOutbound bool
	// unsupported are fields that are set and not honoured, by their path.
	unsupported []string
}

// honoured are the fields that settings reads. The injector and the agent read
// defaultConfig; the agent merges metrics, so enablePrometheusMerge may be true.
var honoured = []string{
	"accessLogEncoding", "accessLogFile", "accessLogFormat", "connectTimeout", "defaultConfig",
	"enableAutoMtls", "enablePrometheusMerge", "outboundTrafficPolicy", "rootNamespace",
	"trustDomain", "trustDomainAliases",
}

// parseMeshConfig reads the YAML of ConfigMap istio, key mesh.
func parseMeshConfig(text string) (*meshConfig, error) {
	parsed := &meshConfig{MeshConfig: &meshapi.MeshConfig{}}
	data, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("not YAML: %w", err)
	}
	written := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &written); err != nil {
		return nil, fmt.Errorf("not a mapping of fields: %w", err)
	}
	fields := parsed.ProtoReflect().Descriptor().Fields()
	known := map[string]json.RawMessage{}
	for _, name := range slices.Sorted(maps.Keys(written)) {
		field := fields.ByJSONName(name)
		if field == nil {
			field = fields.ByTextName(name)
		}
		if field == nil {
			parsed.unknown = append(parsed.unknown, name)
			continue
		}
		if string(written[name]) == "null" {
			continue
		}
		known[field.JSONName()] = written[name]
	}
	if data, err = json.Marshal(known); err != nil {
		return nil, err
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, parsed.MeshConfig); err != nil {
		return nil, cleanProtoError(err)
	}
	parsed.set = slices.Sorted(maps.Keys(known))
	parsed.namesOutbound = holds(known["outboundTrafficPolicy"], "mode")
	parsed.unsupported = unsupportedFields(parsed)
	return parsed, nil
}

// holds is true when a JSON mapping has a field.
func holds(data json.RawMessage, field string) bool {
	fields := map[string]json.RawMessage{}
	return json.Unmarshal(data, &fields) == nil && fields[field] != nil
}

// unsupportedFields names what is set and not honoured.
func unsupportedFields(c *meshConfig) []string {
	var paths []string
	for _, name := range c.set {
		if _, ok := slices.BinarySearch(honoured, name); !ok {
			paths = append(paths, name)
		}
	}
	if c.GetAccessLogEncoding() != meshapi.MeshConfig_TEXT {
		paths = append(paths, "accessLogEncoding")
	}
	if c.EnablePrometheusMerge != nil && !c.EnablePrometheusMerge.Value {
		paths = append(paths, "enablePrometheusMerge")
	}
	switch c.GetOutboundTrafficPolicy().GetMode() {
	case meshapi.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY, meshapi.MeshConfig_OutboundTrafficPolicy_ALLOW_ANY:
	default:
		paths = append(paths, "outboundTrafficPolicy.mode")
	}
	if c.GetOutboundTrafficPolicy().GetTls() != nil {
		paths = append(paths, "outboundTrafficPolicy.tls")
	}
	slices.Sort(paths)
	return paths
}

// cleanProtoError makes an error's text stable: protobuf varies the space in it
// by build, which must not show in a Problem.
func cleanProtoError(err error) error {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return fmt.Errorf("%s", strings.TrimPrefix(text, "proto: "))
}
