// SPDX-License-Identifier: Apache-2.0

package verdicts

import (
	"bufio"
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	extensions "istio.io/api/extensions/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	networkingbeta "istio.io/api/networking/v1beta1"
	security "istio.io/api/security/v1beta1"
	telemetry "istio.io/api/telemetry/v1alpha1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

//go:embed testdata/base/*.yaml testdata/edge/*.yaml
var files embed.FS

// specs of the kinds that Istio gives verdicts on.
var specs = map[string]proto.Message{
	"AuthorizationPolicy":   &security.AuthorizationPolicy{},
	"DestinationRule":       &networking.DestinationRule{},
	"EnvoyFilter":           &networking.EnvoyFilter{},
	"Gateway":               &networking.Gateway{},
	"PeerAuthentication":    &security.PeerAuthentication{},
	"ProxyConfig":           &networkingbeta.ProxyConfig{},
	"RequestAuthentication": &security.RequestAuthentication{},
	"ServiceEntry":          &networking.ServiceEntry{},
	"Sidecar":               &networking.Sidecar{},
	"Telemetry":             &telemetry.Telemetry{},
	"TrafficExtension":      &extensions.TrafficExtension{},
	"VirtualService":        &networking.VirtualService{},
	"WasmPlugin":            &extensions.WasmPlugin{},
	"WorkloadEntry":         &networking.WorkloadEntry{},
	"WorkloadGroup":         &networking.WorkloadGroup{},
}

// Case is an object to be judged. Name is its kind, its base and what was
// changed, such as "VirtualService/rules/http[0].timeout: -1s".
type Case struct {
	Name   string
	Object map[string]any
}

// Kind of the object.
func (c Case) Kind() string { return (&unstructured.Unstructured{Object: c.Object}).GetKind() }

// Group of the object.
func (c Case) Group() string {
	group, _, _ := strings.Cut((&unstructured.Unstructured{Object: c.Object}).GetAPIVersion(), "/")
	return group
}

// JSON of the object.
func (c Case) JSON() ([]byte, error) { return json.Marshal(c.Object) }

// Cases are all bases, each with one thing of it spoilt in turn, and the edge
// cases that were written by hand. Their names are unique, and their order is
// always the same.
func Cases() ([]Case, error) {
	var cases []Case
	bases, err := read("testdata/base")
	if err != nil {
		return nil, err
	}
	tried := map[string]bool{}
	for _, base := range bases {
		spec := specs[base.Kind()]
		if spec == nil {
			return nil, fmt.Errorf("%s: nothing is known of the kind", base.Name)
		}
		cases = append(cases, base)
		cases = append(cases, spoil(base, spec.ProtoReflect().Descriptor(), tried)...)
	}
	edges, err := read("testdata/edge")
	if err != nil {
		return nil, err
	}
	cases = append(cases, edges...)
	names := map[string]bool{}
	for _, c := range cases {
		if names[c.Name] {
			return nil, fmt.Errorf("two cases are %q", c.Name)
		}
		names[c.Name] = true
	}
	return cases, nil
}

// read the objects of a folder.
func read(dir string) ([]Case, error) {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return nil, err
	}
	var cases []Case
	for _, e := range entries {
		text, err := files.ReadFile(path.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		objects, err := Objects(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		for _, o := range objects {
			c := Case{Object: o}
			u := unstructured.Unstructured{Object: o}
			c.Name = c.Kind() + "/" + u.GetName()
			if path.Base(dir) == "edge" {
				c.Name = c.Kind() + "/edge/" + u.GetName()
			}
			cases = append(cases, c)
		}
	}
	return cases, nil
}

// Objects of the kinds in question, out of YAML documents and Lists of them.
func Objects(text []byte) ([]map[string]any, error) {
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	var objects []map[string]any
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		object := map[string]any{}
		if err := yaml.Unmarshal(document, &object); err != nil {
			return nil, err
		}
		items, _ := object["items"].([]any)
		for _, item := range append([]any{object}, items...) {
			one, _ := item.(map[string]any)
			c := Case{Object: one}
			if _, known := specs[c.Kind()]; known && strings.HasSuffix(c.Group(), ".istio.io") {
				objects = append(objects, one)
			}
		}
	}
}

// Kinds that there are verdicts on, sorted.
func Kinds() []string {
	var kinds []string
	for kind := range specs {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}
