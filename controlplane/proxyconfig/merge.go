// SPDX-License-Identifier: Apache-2.0

package proxyconfig

import (
	"encoding/json"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/wrapperspb"
	meshapi "istio.io/api/mesh/v1alpha1"
	"istio.io/api/networking/v1beta1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Layers are what objects of kind ProxyConfig say for a pod: for the whole mesh,
// for its namespace and for its workload; nil where none does.
type Layers struct {
	Mesh, Namespace, Workload *model.ProxyConfig
	// Ignored are for the workload too, and younger.
	Ignored []*model.ProxyConfig
}

// LayersOf are those of a pod in a namespace with labels. The configurations are
// sorted by age: of several of one scope the oldest holds.
func LayersOf(all []*model.ProxyConfig, root, namespace string, labels map[string]string) Layers {
	var out Layers
	for _, c := range all {
		switch {
		case c.Selector == "" && c.Namespace == root:
			out.Mesh = older(out.Mesh, c)
		case c.Selector == "" && c.Namespace == namespace:
			out.Namespace = older(out.Namespace, c)
		case c.Selector != "" && c.Namespace == namespace && c.Selector.Select(labels):
			if out.Workload != nil {
				out.Ignored = append(out.Ignored, c)
			}
			out.Workload = older(out.Workload, c)
		}
	}
	return out
}

func older(first, c *model.ProxyConfig) *model.ProxyConfig {
	if first != nil {
		return first
	}
	return c
}

// Merge puts a pod's configuration together. What is more special goes over what
// is more general, field by field: the mesh's default, the ProxyConfig of the
// mesh, that of the namespace, the pod's annotation, the ProxyConfig of the
// workload; so Istio documents it. Variables are merged one by one. Nothing given is changed.
func Merge(mesh *meshapi.ProxyConfig, objects Layers, annotation *meshapi.ProxyConfig) (*meshapi.ProxyConfig, error) {
	whole := map[string]any{}
	for _, layer := range []*meshapi.ProxyConfig{mesh, of(objects.Mesh), of(objects.Namespace), annotation, of(objects.Workload)} {
		if layer == nil {
			continue
		}
		b, err := protojson.Marshal(layer)
		if err != nil {
			return nil, fmt.Errorf("merge the proxy configuration: %w", err)
		}
		over := map[string]any{}
		if err := json.Unmarshal(b, &over); err != nil {
			return nil, fmt.Errorf("merge the proxy configuration: %w", err)
		}
		put(whole, over)
	}
	b, err := json.Marshal(whole)
	if err != nil {
		return nil, fmt.Errorf("merge the proxy configuration: %w", err)
	}
	out := &meshapi.ProxyConfig{}
	if err := protojson.Unmarshal(b, out); err != nil {
		return nil, fmt.Errorf("merge the proxy configuration: %w", err)
	}
	keepVariables(out)
	return out, nil
}

// merged are the fields whose own fields are put together; all others are replaced.
var merged = []string{"gatewayTopology", "proxyHeaders", "proxyMetadata", "proxyStatsMatcher", "runtimeValues"}

// exclusive are fields of which one is set only.
var exclusive = map[string]string{"serviceCluster": "tracingServiceName", "tracingServiceName": "serviceCluster"}

func put(under, over map[string]any) {
	for name, value := range over {
		delete(under, exclusive[name])
		lower, both := under[name].(map[string]any)
		upper, also := value.(map[string]any)
		if !both || !also || !slices.Contains(merged, name) {
			under[name] = value
			continue
		}
		for k, v := range upper {
			lower[k] = v
		}
	}
}

// of an object, as the mesh's default would say it.
func of(c *model.ProxyConfig) *meshapi.ProxyConfig {
	if c == nil {
		return nil
	}
	out := &meshapi.ProxyConfig{}
	if c.Concurrency != nil {
		out.Concurrency = wrapperspb.Int32(*c.Concurrency)
	}
	if c.ImageType != "" {
		out.Image = &v1beta1.ProxyImage{ImageType: c.ImageType}
	}
	for _, v := range c.Environment {
		if out.ProxyMetadata == nil {
			out.ProxyMetadata = map[string]string{}
		}
		out.ProxyMetadata[v.Name] = v.Value
	}
	return out
}
