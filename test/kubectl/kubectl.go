// SPDX-License-Identifier: Apache-2.0

// Package kubectl shows objects of our kinds as `kubectl get` and `kubectl
// describe` do, with the API server's own table code and kubectl's own
// describer, so that tests can keep what people see. No cluster is needed.
package kubectl

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/printers"
	"k8s.io/client-go/rest"
	"k8s.io/kubectl/pkg/describe"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/test/apiserver"
)

// Get prints objects of one of our kinds as `kubectl get` does, or with wide as
// `kubectl get -o wide`.
func Get(t *testing.T, kind string, wide bool, objects ...client.Object) string {
	t.Helper()
	convertor, err := tableconvertor.New(definition(t, kind).Spec.Versions[0].AdditionalPrinterColumns)
	if err != nil {
		t.Fatal(err)
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind + "List"))
	for _, o := range objects {
		list.Items = append(list.Items, *unstructuredOf(t, kind, o))
	}
	table, err := convertor.ConvertToTable(t.Context(), list, &metav1.TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := printers.NewTablePrinter(printers.PrintOptions{Wide: wide}).PrintObj(table, &out); err != nil {
		t.Fatal(err)
	}
	return trim(out.String())
}

// Describe prints an object of one of our kinds and events about it as
// `kubectl describe` does.
func Describe(t *testing.T, kind string, object client.Object, events ...corev1.Event) string {
	t.Helper()
	crd := definition(t, kind)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var answer any = unstructuredOf(t, kind, object).Object
		if strings.HasSuffix(r.URL.Path, "/events") {
			answer = &corev1.EventList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "EventList"}, Items: events}
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	describer, ok := describe.GenericDescriberFor(&meta.RESTMapping{
		Resource:         schema.GroupVersionResource{Group: crd.Spec.Group, Version: v1alpha1.GroupVersion.Version, Resource: crd.Spec.Names.Plural},
		GroupVersionKind: v1alpha1.GroupVersion.WithKind(kind),
		Scope:            meta.RESTScopeNamespace,
	}, &rest.Config{Host: server.URL})
	if !ok {
		t.Fatal("kubectl has no describer for our kinds")
	}
	out, err := describer.Describe(object.GetNamespace(), object.GetName(), describe.DescriberSettings{ShowEvents: true})
	if err != nil {
		t.Fatal(err)
	}
	return trim(out)
}

func definition(t *testing.T, kind string) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	path := "config/crd/bases/" + v1alpha1.GroupVersion.Group + "_" + strings.ToLower(kind) + "s.yaml"
	return apiserver.ReadFile[apiextensionsv1.CustomResourceDefinition](t, path)[0]
}

func unstructuredOf(t *testing.T, kind string, o client.Object) *unstructured.Unstructured {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	return u
}

// trim takes blanks off the ends of lines.
func trim(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \t")
	}
	return strings.Join(lines, "\n")
}
