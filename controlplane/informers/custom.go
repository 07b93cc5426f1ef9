// SPDX-License-Identifier: Apache-2.0

package informers

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/fields"
)

// adder adds kinds of custom resources to a set.
type adder struct {
	set    *Set
	client dynamic.Interface
	failed error
}

// pointer is a *T that is an object.
type pointer[T any] interface {
	*T
	object
}

// custom adds a kind, whose objects go where field says.
func custom[T any, P pointer[T]](a *adder, version, resource string, field func(*ingest.Input) *[]P) {
	gv, err := schema.ParseGroupVersion(version)
	if err != nil {
		a.failed = errors.Join(a.failed, err)
		return
	}
	name := resource + "." + gv.Group
	k, err := newKind(name, listWatch(a.client, a.client.Resource(gv.WithResource(resource)), ""),
		&unstructured.Unstructured{}, decode[T, P], a.set.notify)
	a.failed = errors.Join(a.failed, err)
	a.set.optional[name] = k
	a.set.fill = append(a.set.fill, func(in *ingest.Input) { *field(in) = k.objects() })
}

// decode makes of an object, as the API server gave it, what the mesh reads. One
// that doesn't fit its type comes with an annotation that says so, and without a spec.
func decode[T any, P pointer[T]](u *unstructured.Unstructured) P {
	out := P(new(T))
	read := map[string]any{"spec": u.Object["spec"]}
	if u.GetKind() == "WorkloadEntry" {
		// Its health checks stand there.
		read["status"] = u.Object["status"]
	}
	data, err := json.Marshal(read)
	if err == nil && fields.TooDeep(data) {
		err = fmt.Errorf("it is nested deeper than %d levels", fields.MaxDepth)
	}
	if err == nil {
		err = json.Unmarshal(data, out)
	}
	malformed := ""
	if err != nil {
		out, malformed = P(new(T)), firstLine(err)
	}
	identify(out, u, malformed)
	if u.GetKind() == "WorkloadEntry" {
		// They tell the entries that are made for machines, and go with them.
		out.SetOwnerReferences(u.GetOwnerReferences())
		out.SetDeletionTimestamp(u.GetDeletionTimestamp())
	}
	return out
}

// identify copies the metadata that the mesh reads.
func identify(out metav1.Object, u *unstructured.Unstructured, malformed string) {
	out.SetName(u.GetName())
	out.SetNamespace(u.GetNamespace())
	out.SetUID(u.GetUID())
	out.SetResourceVersion(u.GetResourceVersion())
	out.SetGeneration(u.GetGeneration())
	out.SetCreationTimestamp(u.GetCreationTimestamp())
	out.SetLabels(u.GetLabels())
	kept := map[string]string{}
	for key, value := range u.GetAnnotations() {
		if domain, _, _ := strings.Cut(key, "/"); read(domain) && key != ingest.MalformedAnnotation {
			kept[key] = value
		}
	}
	if malformed != "" {
		kept[ingest.MalformedAnnotation] = malformed
	}
	if len(kept) > 0 {
		out.SetAnnotations(kept)
	}
}

// read is true for the domains of annotations that mean something to a mesh;
// the others, such as the one that kubectl keeps the whole object in, are noise.
func read(domain string) bool {
	for _, suffix := range []string{"istio.io", "isthmesh.dev", "gateway.networking.k8s.io"} {
		if domain == suffix || strings.HasSuffix(domain, "."+suffix) {
			return true
		}
	}
	return false
}

// firstLine of an error, short enough for a message; protobuf varies the space in it by build.
func firstLine(err error) string {
	text, _, _ := strings.Cut(strings.ReplaceAll(err.Error(), "\u00a0", " "), "\n")
	if len(text) > 300 {
		text = fmt.Sprintf("%.300s…", text)
	}
	return text
}
