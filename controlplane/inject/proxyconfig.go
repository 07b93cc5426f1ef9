// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	meshv1alpha1 "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"
)

const proxyConfigKey = "proxy.istio.io/config"

// honoured are the fields of a ProxyConfig that have an effect. (Holding the
// application until the proxy has started needs nothing: a sidecar that is an
// init container always does.)
var honoured = []protoreflect.Name{
	"concurrency", "discovery_address", "drain_duration", "file_flush_interval", "hold_application_until_proxy_starts",
	"proxy_metadata", "proxy_stats_matcher", "termination_drain_duration",
}

// sameAlways are fields whose only possible value is the one that holds anyway.
var sameAlways = map[protoreflect.Name]string{
	"config_path": "./etc/istio/proxy", "binary_path": "/usr/local/bin/envoy",
	"proxy_admin_port": "15000", "status_port": "15020",
}

// proxyConfig is the mesh's defaultConfig with the pod's annotations on top,
// and the names of the fields in them that have no effect.
func proxyConfig(mesh *meshv1alpha1.MeshConfig, annotations map[string]string) (*meshv1alpha1.ProxyConfig, []string, error) {
	annotation := annotations[proxyConfigKey]
	whole := map[string]any{}
	if mesh.GetDefaultConfig() != nil {
		b, err := protojson.Marshal(mesh.GetDefaultConfig())
		if err != nil {
			return nil, nil, fmt.Errorf("meshConfig.defaultConfig: %w", err)
		}
		if err := json.Unmarshal(b, &whole); err != nil {
			return nil, nil, fmt.Errorf("meshConfig.defaultConfig: %w", err)
		}
	}
	var own meshv1alpha1.ProxyConfig
	if annotation != "" {
		b, err := yaml.YAMLToJSON([]byte(annotation))
		if err == nil {
			err = protojson.Unmarshal(b, &own)
		}
		if err != nil {
			return nil, nil, refuse("annotation %s is not a ProxyConfig: %s", proxyConfigKey, plain(err))
		}
		over := map[string]any{}
		b, err = protojson.Marshal(&own)
		if err == nil {
			err = json.Unmarshal(b, &over)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("annotation %s: %w", proxyConfigKey, err)
		}
		for _, e := range own.GetProxyStatsMatcher().GetInclusionRegexps() {
			if err := expressions(e); err != nil {
				return nil, nil, refuse("annotation %s: field proxyStatsMatcher.inclusionRegexps: %v", proxyConfigKey, err)
			}
		}
		overlay(whole, over)
	}
	b, err := json.Marshal(whole)
	if err != nil {
		return nil, nil, fmt.Errorf("merge the proxy configuration: %w", err)
	}
	var merged meshv1alpha1.ProxyConfig
	if err := protojson.Unmarshal(b, &merged); err != nil {
		return nil, nil, fmt.Errorf("merge the proxy configuration: %w", err)
	}
	keepStats(&merged, annotations)
	// The mesh's own defaults are the platform's matter; a pod is told of what
	// it asked for itself.
	return &merged, withoutEffect(&own), nil
}

// keepStats adds the statistics that the pod asks for by annotations of their own.
func keepStats(c *meshv1alpha1.ProxyConfig, annotations map[string]string) {
	keep := func(list *[]string, name string) {
		for word := range strings.SplitSeq(annotations[name], ",") {
			if word = strings.TrimSpace(word); word != "" {
				*list = append(*list, word)
			}
		}
	}
	m := c.GetProxyStatsMatcher()
	if m == nil {
		m = &meshv1alpha1.ProxyConfig_ProxyStatsMatcher{}
	}
	keep(&m.InclusionPrefixes, "sidecar.istio.io/statsInclusionPrefixes")
	keep(&m.InclusionSuffixes, "sidecar.istio.io/statsInclusionSuffixes")
	keep(&m.InclusionRegexps, "sidecar.istio.io/statsInclusionRegexps")
	if len(m.InclusionPrefixes)+len(m.InclusionSuffixes)+len(m.InclusionRegexps) > 0 {
		c.ProxyStatsMatcher = m
	}
}

// plain is an error of protojson without its beginning, which varies on purpose.
func plain(err error) string {
	return strings.TrimLeftFunc(strings.TrimPrefix(err.Error(), "proto:"), unicode.IsSpace)
}

func withoutEffect(c *meshv1alpha1.ProxyConfig) []string {
	var out []string
	c.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if !slices.Contains(honoured, f.Name()) && sameAlways[f.Name()] != v.String() {
			out = append(out, f.JSONName())
		}
		return true
	})
	slices.Sort(out)
	return out
}

// overlay puts a JSON object over another: objects merge, all else is replaced.
func overlay(under, over map[string]any) {
	for k, v := range over {
		if upper, ok := v.(map[string]any); ok {
			if lower, ok := under[k].(map[string]any); ok {
				overlay(lower, upper)
				continue
			}
		}
		under[k] = v
	}
}
