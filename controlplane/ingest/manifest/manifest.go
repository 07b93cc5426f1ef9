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
	"sync"

	security "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/credential"
	"github.com/isthmesh/isthmesh/controlplane/ingest/fields"
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

// Read reads YAML or JSON documents: Kubernetes objects, Lists of them, and
// Imports. Objects without a namespace are in "default", as kubectl has it. An
// error names the document that cannot be read.
func Read(data []byte) (*Objects, error) {
	r, err := newReader()
	if err != nil {
		return nil, err
	}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for n := 1; ; n++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			r.out.Credentials = credential.Build(r.secrets, r.authorities, nil).Credentials
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

// ReadObject reads one object, which may be changed.
func ReadObject(u *unstructured.Unstructured) (*Objects, error) {
	r, err := newReader()
	if err != nil {
		return nil, err
	}
	return r.out, r.object(u)
}

// Misfits are the Problems of an object whose fields don't exist, or have values
// of other types than theirs: it can't be read as it was meant. The API server
// refuses it too.
func Misfits(u *unstructured.Unstructured) []model.Problem {
	r, err := newReader()
	if err != nil {
		return nil
	}
	empty, err := r.scheme.New(served(u.GroupVersionKind(), r.scheme))
	if err != nil {
		return nil // of a kind that isn't read
	}
	var problems []model.Problem
	tell := func(field, reason, text string) {
		problems = append(problems, model.Problem{
			Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName(), Field: field, Reason: reason, Message: text,
		})
	}
	for _, field := range fields.Unknown(empty, u.Object) {
		if len(problems) < maxUnknown {
			tell(field, ingest.UnknownField, fmt.Sprintf("there is no such field in %s; correct its name, or remove it", u.GetKind()))
		}
	}
	for _, wrong := range fields.Misfits(empty, u.Object) {
		tell(wrong.Field, ingest.Invalid, wrong.Why)
	}
	return problems
}

// maxUnknown fields of an object that are told.
const maxUnknown = 10

func newReader() (*reader, error) {
	k, err := known()
	if err != nil {
		return nil, err
	}
	return &reader{out: &Objects{}, kinds: k}, nil
}

// kinds that are known, and what decodes them.
type kinds struct {
	decoder runtime.Decoder
	scheme  *runtime.Scheme
}

var known = sync.OnceValues(func() (kinds, error) {
	scheme, err := newScheme()
	return kinds{serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer(), scheme}, err
})

type reader struct {
	out *Objects
	kinds
	// secrets and authorities may be what a gateway refers to.
	secrets     []*corev1.Secret
	authorities []*corev1.ConfigMap
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
	if served(gvk, r.scheme) != gvk {
		gvk = served(gvk, r.scheme)
		u.SetAPIVersion(gvk.GroupVersion().String())
	}
	if u.GetNamespace() == "" && gvk.Kind != "Node" && gvk.Kind != "Namespace" && gvk.Kind != "GatewayClass" && gvk.Kind != "IngressClass" {
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
	if fields.TooDeep(data) {
		return fmt.Errorf("%s: it is nested deeper than %d levels; make it flatter", name, fields.MaxDepth)
	}
	decoded, _, err := r.decoder.Decode(data, nil, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if unknown := fields.Unknown(decoded, u.Object); len(unknown) > 0 {
		return fmt.Errorf("%s: unknown field %q", name, unknown[0])
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
	case *corev1.Secret:
		for k, v := range o.StringData { // as the API server does
			if o.Data == nil {
				o.Data = map[string][]byte{}
			}
			o.Data[k] = []byte(v)
		}
		if !credential.InSecret(o) {
			return false
		}
		r.secrets = append(r.secrets, o)
	case *corev1.ConfigMap:
		if o.Name != ingest.MeshConfigMap && credential.InConfigMap(o) {
			r.authorities = append(r.authorities, o)
			return true
		}
		if o.Name != ingest.MeshConfigMap {
			return false
		}
		in.MeshConfig = o.Data[ingest.MeshConfigKey]
	default:
		return addCustom(in, object)
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
