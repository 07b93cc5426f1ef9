// SPDX-License-Identifier: Apache-2.0

// Package manifest reads an ingest.Input out of YAML files, as informers reads
// it out of a cluster. It is pure: bytes in, objects out.
package manifest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	security "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// KindImports is the kind of a document that says what other members export:
// not a Kubernetes object, but what the hub would have sent.
const KindImports = "Imports"

// Objects is what was read.
type Objects struct {
	ingest.Input
	// Skipped are the documents of kinds that a mesh is not made of, as
	// "Kind namespace/name", in the order of the file.
	Skipped []string
}

// versions that are read as another one of the same form.
var versions = map[schema.GroupVersion]schema.GroupVersion{
	{Group: "security.istio.io", Version: "v1beta1"}:      security.SchemeGroupVersion,
	{Group: "multicluster.x-k8s.io", Version: "v1alpha1"}: mcs.SchemeGroupVersion,
}

// Read reads YAML or JSON documents: Kubernetes objects, Lists of them, and
// Imports. Objects without a namespace are in "default", as kubectl has it. An
// error names the document that cannot be read.
func Read(data []byte) (*Objects, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	r := &reader{
		out:     &Objects{},
		decoder: serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer(),
		scheme:  scheme,
	}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for n := 1; ; n++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return r.out, nil
		}
		if err == nil {
			err = r.document(document)
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
	}
}

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	builder := runtime.NewSchemeBuilder(corev1.AddToScheme, discoveryv1.AddToScheme, security.AddToScheme, mcs.Install)
	return scheme, builder.AddToScheme(scheme)
}

type reader struct {
	out     *Objects
	decoder runtime.Decoder
	scheme  *runtime.Scheme
}

func (r *reader) document(data []byte) error {
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(data, &object.Object); err != nil {
		return err
	}
	switch {
	case len(object.Object) == 0:
		return nil
	case object.GetKind() == KindImports:
		imports, err := readImports(data)
		r.out.Imports = imports
		return err
	case object.IsList():
		return object.EachListItem(func(item runtime.Object) error {
			u, ok := item.(*unstructured.Unstructured)
			if !ok {
				return fmt.Errorf("item of the List is %T", item)
			}
			return r.object(u)
		})
	}
	return r.object(object)
}

// object adds one Kubernetes object.
func (r *reader) object(u *unstructured.Unstructured) error {
	gvk := u.GroupVersionKind()
	if v, ok := versions[gvk.GroupVersion()]; ok {
		gvk.Group, gvk.Version = v.Group, v.Version
		u.SetAPIVersion(v.String())
	}
	if u.GetNamespace() == "" && gvk.Kind != "Node" && gvk.Kind != "Namespace" {
		u.SetNamespace(defaultNamespace)
	}
	name := fmt.Sprintf("%s %s/%s", gvk.Kind, u.GetNamespace(), u.GetName())
	if gvk.Kind == "" || u.GetName() == "" {
		return fmt.Errorf("%q is no Kubernetes object: it needs apiVersion, kind and metadata.name", name)
	}
	if !r.scheme.Recognizes(gvk) {
		r.out.Skipped = append(r.out.Skipped, name)
		return nil
	}
	data, err := u.MarshalJSON()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	decoded, _, err := r.decoder.Decode(data, nil, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if !r.add(decoded) {
		r.out.Skipped = append(r.out.Skipped, name)
	}
	return nil
}

const defaultNamespace = "default"

// add puts an object into the Input; false when a mesh has no use for its kind.
func (r *reader) add(object runtime.Object) bool {
	in := &r.out.Input
	switch o := object.(type) {
	case *corev1.Service:
		in.Services = append(in.Services, o)
	case *discoveryv1.EndpointSlice:
		in.EndpointSlices = append(in.EndpointSlices, o)
	case *corev1.Pod:
		in.Pods = append(in.Pods, o)
	case *corev1.Node:
		in.Nodes = append(in.Nodes, o)
	case *corev1.Namespace:
		in.Namespaces = append(in.Namespaces, o)
	case *security.PeerAuthentication:
		in.PeerAuthentications = append(in.PeerAuthentications, o)
	case *mcs.ServiceExport:
		in.ServiceExports = append(in.ServiceExports, o)
	case *corev1.ConfigMap:
		if o.Name != ingest.MeshConfigMap {
			return false
		}
		in.MeshConfig = o.Data[ingest.MeshConfigKey]
	default:
		return false
	}
	return true
}

// readImports reads an Imports document. Its fields are those of model.Imports
// in lower camel case; protocols and kinds are words.
func readImports(data []byte) (*model.Imports, error) {
	written := importsDocument{}
	if err := yaml.UnmarshalStrict(data, &written); err != nil {
		return nil, fmt.Errorf("%s: %w", KindImports, err)
	}
	out := &model.Imports{}
	for _, m := range written.Members {
		member, err := m.model()
		if err != nil {
			return nil, fmt.Errorf("%s: member %q: %w", KindImports, m.Cluster, err)
		}
		out.Members = append(out.Members, member)
	}
	return out, nil
}
