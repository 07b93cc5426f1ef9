// SPDX-License-Identifier: Apache-2.0

package proxyconfig_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	meshapi "istio.io/api/mesh/v1alpha1"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/proxyconfig"
)

func object(namespace, name string, selector model.Labels, concurrency int32, variables ...string) *model.ProxyConfig {
	out := &model.ProxyConfig{Origin: model.Origin{Kind: "ProxyConfig", Namespace: namespace, Name: name}, Selector: selector}
	if concurrency >= 0 {
		out.Concurrency = &concurrency
	}
	for i := 0; i+1 < len(variables); i += 2 {
		out.Environment = append(out.Environment, model.Header{Name: variables[i], Value: variables[i+1]})
	}
	return out
}

func TestLayersOf(t *testing.T) {
	all := []*model.ProxyConfig{ // the oldest first
		object("istio-system", "mesh", "", 1),
		object("istio-system", "mesh-younger", "", 2),
		object("istio-system", "of-gateways", "app=web", 3),
		object("shop", "namespace", "", 4),
		object("shop", "namespace-younger", "", 5),
		object("shop", "web", "app=web", 6),
		object("shop", "web-v1", "app=web,version=v1", 7),
		object("other", "web", "app=web", 8),
	}
	cases := map[string]struct {
		namespace string
		labels    map[string]string
		// want are the mesh's, the namespace's, the workload's and those ignored.
		want []string
	}{
		"Workload":     {"shop", map[string]string{"app": "web", "version": "v1"}, []string{"mesh", "namespace", "web", "web-v1"}},
		"OneSelector":  {"shop", map[string]string{"app": "web"}, []string{"mesh", "namespace", "web"}},
		"NoSelector":   {"shop", map[string]string{"app": "db"}, []string{"mesh", "namespace", ""}},
		"Elsewhere":    {"third", map[string]string{"app": "web"}, []string{"mesh", "", ""}},
		"RootItself":   {"istio-system", map[string]string{"app": "web"}, []string{"mesh", "", "of-gateways"}},
		"OtherOnlyOwn": {"other", map[string]string{"app": "web"}, []string{"mesh", "", "web"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			l := proxyconfig.LayersOf(all, "istio-system", c.namespace, c.labels)
			var got []string
			for _, o := range append([]*model.ProxyConfig{l.Mesh, l.Namespace, l.Workload}, l.Ignored...) {
				if o == nil {
					got = append(got, "")
					continue
				}
				got = append(got, o.Name)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestMerge: what is more special goes over what is more general, and a
// workload's ProxyConfig over its annotation, as Istio documents it.
func TestMerge(t *testing.T) {
	const none = -1
	cases := map[string]struct {
		mesh       string
		layers     proxyconfig.Layers
		annotation string
		want       string
	}{
		"Nothing": {want: `{}`},
		"Order": {
			mesh: `{concurrency: 1, drainDuration: 10s, proxyMetadata: {A: mesh, B: mesh, C: mesh, D: mesh, E: mesh}}`,
			layers: proxyconfig.Layers{
				Mesh:      object("istio-system", "m", "", 2, "B", "root", "C", "root", "D", "root", "E", "root"),
				Namespace: object("shop", "n", "", 3, "C", "namespace", "D", "namespace", "E", "namespace"),
				Workload:  object("shop", "w", "app=web", 5, "E", "workload"),
			},
			annotation: `{concurrency: 4, drainDuration: 20s, proxyMetadata: {D: annotation, E: annotation}}`,
			want:       `{concurrency: 5, drainDuration: 20s, proxyMetadata: {A: mesh, B: root, C: namespace, D: annotation, E: workload}}`,
		},
		"AnnotationOverNamespace": {
			layers:     proxyconfig.Layers{Mesh: object("istio-system", "m", "", 2), Namespace: object("shop", "n", "", 3)},
			annotation: `{concurrency: 4}`,
			want:       `{concurrency: 4}`,
		},
		"ZeroIsAValue":         {mesh: `{concurrency: 2}`, layers: proxyconfig.Layers{Namespace: object("shop", "n", "", 0)}, want: `{concurrency: 0}`},
		"NothingSaidOverrides": {mesh: `{concurrency: 2}`, layers: proxyconfig.Layers{Workload: object("shop", "n", "a=b", none, "X", "z")}, want: `{concurrency: 2, proxyMetadata: {X: z}}`},
		"OneOfTwoNames":        {mesh: `{serviceCluster: mesh}`, annotation: `{tracingServiceName: CANONICAL_NAME_ONLY}`, want: `{tracingServiceName: CANONICAL_NAME_ONLY}`},
		"StatsAreReplaced":     {mesh: `{proxyStatsMatcher: {inclusionPrefixes: [a], inclusionSuffixes: [s]}}`, annotation: `{proxyStatsMatcher: {inclusionPrefixes: [b]}}`, want: `{proxyStatsMatcher: {inclusionPrefixes: [b], inclusionSuffixes: [s]}}`},
		"ReservedAreNotSet":    {mesh: `{proxyMetadata: {TRUST_DOMAIN: evil, A: b}}`, annotation: `{proxyMetadata: {CA_ADDR: evil}}`, want: `{proxyMetadata: {A: b}}`},
		"ImageOfAnObject":      {mesh: `{image: {imageType: debug}}`, layers: proxyconfig.Layers{Mesh: &model.ProxyConfig{ImageType: "distroless"}}, want: `{image: {imageType: distroless}}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var mesh, annotation *meshapi.ProxyConfig
			if c.mesh != "" {
				mesh = read(t, c.mesh)
			}
			if c.annotation != "" {
				annotation = read(t, c.annotation)
			}
			got, err := proxyconfig.Merge(mesh, c.layers, annotation)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(canonical(t, marshal(t, read(t, c.want))), canonical(t, marshal(t, got))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if c.mesh != "" {
				if diff := cmp.Diff(canonical(t, marshal(t, read(t, c.mesh))), canonical(t, marshal(t, mesh))); diff != "" {
					t.Errorf("the mesh's default was changed:\n%s", diff)
				}
			}
		})
	}
}

func TestImage(t *testing.T) {
	cases := map[string]struct {
		tag, kind string
		has       []string
		want      string
		reason    string
	}{
		"Nothing":        {tag: "1.0", want: "1.0"},
		"Published":      {tag: "1.0", kind: "debug", has: []string{"debug"}, want: "1.0-debug"},
		"NotPublished":   {tag: "1.0", kind: "debug", want: "1.0", reason: "NotSupported"},
		"Default":        {tag: "1.0-debug", kind: "default", has: []string{"debug"}, want: "1.0"},
		"InPlaceOfOther": {tag: "1.0-debug", kind: "fips", has: []string{"debug", "fips"}, want: "1.0-fips"},
		"Distroless":     {tag: "1.0", kind: "distroless", want: "1.0"},
		"OwnDistroless":  {tag: "1.0", kind: "distroless", has: []string{"distroless"}, want: "1.0-distroless"},
		"NoType":         {tag: "1.0", kind: "a b", want: "1.0", reason: "Invalid"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, found := proxyconfig.Image(c.tag, c.kind, c.has)
			reason := ""
			if found != nil {
				reason = found.Reason
			}
			if got != c.want || reason != c.reason {
				t.Errorf("%q %q, want %q %q", got, reason, c.want, c.reason)
			}
		})
	}
}
