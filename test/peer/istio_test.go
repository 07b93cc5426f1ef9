// SPDX-License-Identifier: Apache-2.0

// Package peer asks Istio itself, by its own code, what it makes of objects: the
// schema that the API server has of each kind, and the admission webhook. What
// it says is recorded in test/verdicts, where our own verdicts are held against it.
package peer

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	crdvalidation "istio.io/istio/pkg/config/crd"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/webhooks/validation/server"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/isthmesh/isthmesh/test/verdicts"
)

// istio is what a cluster with Istio asks of an object.
type istio struct {
	schema  *crdvalidation.Validator
	webhook http.Handler
}

func newIstio(t *testing.T) istio {
	t.Helper()
	schema, err := crdvalidation.NewValidatorFromFilesWithOptions(
		[]string{filepath.Join(moduleDir(t, "istio.io/api"), "kubernetes", "customresourcedefinitions.gen.yaml")}, crdvalidation.WithoutCRDValidation())
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	if _, err := server.New(server.Options{Schemas: collections.Istio, DomainSuffix: "cluster.local", Mux: mux}); err != nil {
		t.Fatal(err)
	}
	return istio{schema, mux}
}

// moduleDir is the folder of a module in the cache.
func moduleDir(t *testing.T, module string) string {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	list := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module)
	if filepath.IsAbs(file) {
		list.Dir = filepath.Dir(file)
	}
	out, err := list.Output()
	if err != nil {
		t.Fatalf("find %s: %v", module, err)
	}
	return strings.TrimSpace(string(out))
}

// verdict on an object, and Istio's words.
func (i istio) verdict(t *testing.T, object map[string]any) (verdicts.Verdict, string) {
	t.Helper()
	raw, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := utiljson.Unmarshal(raw, &u.Object); err != nil { // with whole numbers, as the API server reads them
		t.Fatal(err)
	}
	if err := i.schema.ValidateCustomResource(u); err != nil {
		return verdicts.Schema, err.Error()
	}
	gvk := u.GroupVersionKind()
	review, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "1", Operation: admissionv1.Create, Kind: metav1.GroupVersionKind(gvk),
			Name: u.GetName(), Namespace: u.GetNamespace(), Object: k8sruntime.RawExtension{Raw: raw},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequest(http.MethodPost, "/validate", bytes.NewReader(review))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	i.webhook.ServeHTTP(recorder, request)
	var answer admissionv1.AdmissionReview
	if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil || answer.Response == nil {
		t.Fatalf("Istio's answer can't be read: %v\n%.500s", err, recorder.Body)
	}
	switch r := answer.Response; {
	case !r.Allowed:
		return verdicts.Refused, r.Result.Message
	case len(r.Warnings) > 0:
		return verdicts.Warned, strings.Join(r.Warnings, "; ")
	}
	return verdicts.Accepted, ""
}
