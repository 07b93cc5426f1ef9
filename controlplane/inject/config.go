// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"text/template"

	meshv1alpha1 "istio.io/api/mesh/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Config is what injection depends on beside the pod. It is immutable once parsed.
type Config struct {
	// Enabled injects pods that say nothing about it.
	Enabled bool
	// Always and Never match pods that say nothing, before Enabled is asked.
	Always, Never []labels.Selector
	// Annotations that every injected pod gets.
	Annotations map[string]string
	// DefaultTemplates are the names of the templates of a pod that names none.
	DefaultTemplates []string
	Templates        map[string]*template.Template
	// Values that templates refer to.
	Values map[string]any
	Mesh   *meshv1alpha1.MeshConfig
	// ProxyConfigs of the mesh, sorted by age.
	ProxyConfigs []*model.ProxyConfig
	// Revision of the control plane; "default" without one.
	Revision string
	// Namespace of the pod, where the pod doesn't say its own.
	Namespace string
	// NamespaceLabels are nil where they are not known.
	NamespaceLabels map[string]string
}

// file is the key "config" of ConfigMap istio-sidecar-injector.
type file struct {
	Policy               string                 `json:"policy"`
	DefaultTemplates     []string               `json:"defaultTemplates"`
	AlwaysInjectSelector []metav1.LabelSelector `json:"alwaysInjectSelector"`
	NeverInjectSelector  []metav1.LabelSelector `json:"neverInjectSelector"`
	InjectedAnnotations  map[string]string      `json:"injectedAnnotations"`
	// Template is short for a single one of the name sidecar.
	Template  string            `json:"template"`
	Templates map[string]string `json:"templates"`
}

// SidecarTemplate is the name of the template of ordinary pods, GatewayTemplate
// of those that are gateways.
const (
	SidecarTemplate = "sidecar"
	GatewayTemplate = "gateway"
)

// ParseConfig reads the keys "config" (YAML) and "values" (JSON) of ConfigMap
// istio-sidecar-injector. Its errors name the field to mend.
func ParseConfig(config, values []byte, mesh *meshv1alpha1.MeshConfig) (Config, error) {
	var f file
	if err := yaml.Unmarshal(config, &f); err != nil {
		return Config{}, fmt.Errorf("config: %w", err)
	}
	c := Config{Annotations: f.InjectedAnnotations, DefaultTemplates: f.DefaultTemplates, Mesh: mesh, Revision: "default"}
	switch f.Policy {
	case "enabled", "":
		c.Enabled = true
	case "disabled":
	default:
		return Config{}, fmt.Errorf("config: policy %q is neither enabled nor disabled", f.Policy)
	}
	var err error
	if c.Always, err = selectors("alwaysInjectSelector", f.AlwaysInjectSelector); err != nil {
		return Config{}, err
	}
	if c.Never, err = selectors("neverInjectSelector", f.NeverInjectSelector); err != nil {
		return Config{}, err
	}
	if len(c.DefaultTemplates) == 0 {
		c.DefaultTemplates = []string{SidecarTemplate}
	}
	texts := maps.Clone(f.Templates)
	if texts == nil {
		texts = map[string]string{}
	}
	if f.Template != "" {
		texts[SidecarTemplate] = f.Template
	}
	c.Templates = map[string]*template.Template{}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if c.Templates[name], err = template.New(name).Funcs(functions()).Parse(texts[name]); err != nil {
			return Config{}, fmt.Errorf("config: template %q: %w", name, err)
		}
	}
	for _, name := range c.DefaultTemplates {
		if c.Templates[name] == nil {
			return Config{}, fmt.Errorf("config: default template %q is not among the templates", name)
		}
	}
	if len(values) > 0 {
		if err := yaml.Unmarshal(values, &c.Values, keepNumbers); err != nil {
			return Config{}, fmt.Errorf("values: %w", err)
		}
	}
	if revision, _ := c.Values["revision"].(string); revision != "" {
		c.Revision = revision
	}
	if c.Mesh == nil {
		return Config{}, errors.New("the mesh configuration is missing")
	}
	return c, nil
}

// keepNumbers keeps a number as it is written: 1500000 must not become 1.5e+06.
func keepNumbers(d *json.Decoder) *json.Decoder {
	d.UseNumber()
	return d
}

func selectors(field string, in []metav1.LabelSelector) ([]labels.Selector, error) {
	var out []labels.Selector
	for i := range in {
		s, err := metav1.LabelSelectorAsSelector(&in[i])
		if err != nil {
			return nil, fmt.Errorf("config: %s[%d]: %w", field, i, err)
		}
		// An empty selector would match every pod; nobody means that.
		if !s.Empty() {
			out = append(out, s)
		}
	}
	return out, nil
}
