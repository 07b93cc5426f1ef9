// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"google.golang.org/protobuf/encoding/protojson"
	meshv1alpha1 "istio.io/api/mesh/v1alpha1"
	"istio.io/api/networking/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/ingest/fields"
	"github.com/isthmesh/isthmesh/controlplane/proxyconfig"
)

const (
	proxyConfigKey = "proxy.istio.io/config"
	imageTypeKey   = "sidecar.istio.io/proxyImageType"
	// rootNamespace of a mesh that names none.
	rootNamespace = "istio-system"
)

// proxyConfig is what a pod's proxy starts with: the mesh's defaultConfig, the
// ProxyConfigs that are for the pod and what its annotations say, and what of the
// latter is not honoured.
func proxyConfig(c Config, pod metav1.ObjectMeta, namespace string, scope proxyconfig.Scope) (*meshv1alpha1.ProxyConfig, []string, error) {
	own, warnings, err := annotated(pod.Annotations, scope)
	if err != nil {
		return nil, nil, err
	}
	layers := proxyconfig.LayersOf(c.ProxyConfigs, c.RootNamespace(), namespace, pod.Labels)
	for _, o := range layers.Ignored {
		warnings = append(warnings, fmt.Sprintf("ProxyConfig %q selects this pod, and so does %q, which is older and holds", o.Name, layers.Workload.Name))
	}
	out, err := proxyconfig.Merge(c.Mesh.GetDefaultConfig(), layers, own)
	if err != nil {
		return nil, nil, err
	}
	if kind := pod.Annotations[imageTypeKey]; kind != "" {
		out.Image = &v1beta1.ProxyImage{ImageType: kind}
	}
	keepStats(out, pod.Annotations)
	return out, warnings, nil
}

// annotated is what a pod's annotation says, nil without one, and what of it is
// not honoured. A value that can't be used refuses the pod. (The mesh's defaults
// are the platform's matter, and told there.)
func annotated(annotations map[string]string, scope proxyconfig.Scope) (*meshv1alpha1.ProxyConfig, []string, error) {
	text := annotations[proxyConfigKey]
	if text == "" {
		return nil, nil, nil
	}
	wrong := func(format string, args ...any) (*meshv1alpha1.ProxyConfig, []string, error) {
		return nil, nil, refuse("annotation %s is not a ProxyConfig: %s", proxyConfigKey, fmt.Sprintf(format, args...))
	}
	data, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return wrong("%.200s", err.Error())
	}
	if fields.TooDeep(data) {
		return wrong("it is nested deeper than %d levels", fields.MaxDepth)
	}
	own := &meshv1alpha1.ProxyConfig{}
	// Istio's own decoder takes durations such as 10ms and 5m; the other one says
	// better what is wrong.
	if err := own.UnmarshalJSON(data); err != nil {
		if clear := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &meshv1alpha1.ProxyConfig{}); clear != nil {
			err = clear
		}
		return wrong("%.200s", plain(err))
	}
	written := map[string]any{}
	if err := json.Unmarshal(data, &written); err != nil {
		return wrong("%.200s", err.Error())
	}
	if unknown := fields.Unknown(&struct{ Spec meshv1alpha1.ProxyConfig }{}, map[string]any{"spec": written}); len(unknown) > 0 {
		return wrong("unknown field %q", strings.TrimPrefix(unknown[0], "spec."))
	}
	var warnings []string
	for _, f := range proxyconfig.Check(own, scope) {
		if f.Reason == proxyconfig.Invalid {
			return nil, nil, refuse("annotation %s: field %s: %s", proxyConfigKey, f.Field, f.Message)
		}
		warnings = append(warnings, fmt.Sprintf("annotation %s: field %s has no effect: %s", proxyConfigKey, f.Field, f.Message))
	}
	return own, warnings, nil
}

// proxyImage is the image of a proxy, and a type of images that the mesh doesn't have.
func proxyImage(c Config, proxy *meshv1alpha1.ProxyConfig) (string, *proxyconfig.Finding) {
	global, _ := c.Values["global"].(map[string]any)
	tag := ""
	if global["tag"] != nil {
		tag = fmt.Sprint(global["tag"])
	}
	tag, found := proxyconfig.Image(tag, proxy.GetImage().GetImageType(), c.ImageTypes())
	return fmt.Sprintf("%v/proxy:%s", global["hub"], tag), found
}

// RootNamespace holds the configuration of the whole mesh.
func (c Config) RootNamespace() string { return first(c.Mesh.GetRootNamespace(), rootNamespace) }

// ImageTypes of proxies that the hub has beside the default one, sorted.
func (c Config) ImageTypes() []string {
	global, _ := c.Values["global"].(map[string]any)
	proxy, _ := global["proxy"].(map[string]any)
	list, _ := proxy["imageTypes"].([]any)
	var out []string
	for _, t := range list {
		if text, ok := t.(string); ok && text != "" {
			out = append(out, text)
		}
	}
	slices.Sort(out)
	return out
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
	return strings.ReplaceAll(strings.TrimLeftFunc(strings.TrimPrefix(err.Error(), "proto:"), unicode.IsSpace), "\u00a0", " ")
}
