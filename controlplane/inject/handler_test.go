// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/isthmesh/isthmesh/controlplane/webhook"
)

func review(t testing.TB, pod string, change func(*admissionv1.AdmissionReview)) []byte {
	t.Helper()
	r := admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "u1", Namespace: "shop", Operation: admissionv1.Create,
			Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
			Object:   runtime.RawExtension{Raw: []byte(pod)},
		},
	}
	if change != nil {
		change(&r)
	}
	body, err := json.Marshal(r)
	must(t, err)
	return body
}

const plainPod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x","labels":{"app":"x"}},
	"spec":{"fieldOfTomorrow":{"kept":true},"containers":[{"name":"x","image":"x","newField":1,"livenessProbe":{"httpGet":{"path":"/","port":80}}}]}}`

func post(h http.Handler, kind string, body []byte) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodPost, "/inject", bytes.NewReader(body))
	request.Header.Set("Content-Type", kind)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request)
	return w
}

func TestHandlerPatches(t *testing.T) {
	c := testConfig(t, "", "", "")
	registry := prometheus.NewRegistry()
	h := NewHandler(func() (Config, error) { return c, nil }, nil, registry)
	w := post(h, "application/json; charset=utf-8", review(t, plainPod, nil))
	var got admissionv1.AdmissionReview
	must(t, json.Unmarshal(w.Body.Bytes(), &got))
	if got.Response == nil || !got.Response.Allowed || got.Response.UID != "u1" || got.APIVersion != "admission.k8s.io/v1" {
		t.Fatalf("answer %s", w.Body)
	}
	p, err := jsonpatch.DecodePatch(got.Response.Patch)
	must(t, err)
	patched, err := p.Apply([]byte(plainPod))
	must(t, err)

	var before, after corev1.Pod
	must(t, json.Unmarshal([]byte(plainPod), &before))
	must(t, json.Unmarshal(patched, &after))
	want, err := Inject(&before, c)
	must(t, err)
	if diff := cmp.Diff(want.Pod, &after); diff != "" {
		t.Errorf("patched pod (-want +got):\n%s", diff)
	}
	var raw struct {
		Spec struct {
			FieldOfTomorrow map[string]bool `json:"fieldOfTomorrow"`
			Containers      []map[string]any
		} `json:"spec"`
	}
	must(t, json.Unmarshal(patched, &raw))
	if !raw.Spec.FieldOfTomorrow["kept"] || raw.Spec.Containers[0]["newField"] != 1.0 {
		t.Errorf("fields not known are lost: %s", patched)
	}
	// Only what injection adds: nothing of the pod is written again.
	if strings.Contains(string(got.Response.Patch), `"name":"x"`) {
		t.Errorf("the patch has the pod's own in it: %s", got.Response.Patch)
	}
	if n := testutil.ToFloat64(h.injected); n != 1 {
		t.Errorf("injected %v", n)
	}
}

func TestHandlerAnswers(t *testing.T) {
	good := testConfig(t, "", "", "")
	cases := map[string]struct {
		kind   string
		body   []byte
		config func() (Config, error)
		labels map[string]string
		code   int
		// want is a part of the answer.
		want string
	}{
		"WrongType":            {kind: "text/plain", body: review(t, plainPod, nil), code: 415},
		"NoType":               {kind: "", body: review(t, plainPod, nil), code: 415},
		"NotJSON":              {body: []byte("{"), code: 400},
		"NoRequest":            {body: []byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`), code: 400},
		"OldVersion":           {body: []byte(`{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{}}`), code: 400},
		"TooLarge":             {body: bytes.Repeat([]byte(" "), webhook.MaxBytes+1), code: 413},
		"NotAPod":              {body: review(t, `{"spec":3}`, nil), code: 200, want: "the object is not a pod"},
		"Update":               {body: review(t, plainPod, func(r *admissionv1.AdmissionReview) { r.Request.Operation = admissionv1.Update }), code: 200, want: `"allowed":true}`},
		"OtherResource":        {body: review(t, plainPod, func(r *admissionv1.AdmissionReview) { r.Request.Resource.Resource = "services" }), code: 200, want: `"allowed":true}`},
		"Skipped":              {body: review(t, `{"metadata":{"labels":{"sidecar.istio.io/inject":"false"}},"spec":{}}`, nil), code: 200, want: `"allowed":true}`},
		"Namespace":            {body: review(t, plainPod, nil), labels: map[string]string{"istio-injection": "disabled"}, code: 200, want: `"allowed":true}`},
		"Refused":              {body: review(t, `{"metadata":{"annotations":{"sidecar.istio.io/proxyCPU":"x"}},"spec":{}}`, nil), code: 200, want: `"code":422`},
		"Warned":               {body: review(t, `{"metadata":{"annotations":{"sidecar.istio.io/proxyCpu":"x"}},"spec":{}}`, nil), code: 200, want: `"warnings":["annotation sidecar.istio.io/proxyCpu is not known and has no effect"]`},
		"GatewayWithoutConfig": {body: review(t, `{"metadata":{"labels":{"sidecar.istio.io/inject":"false"}},"spec":{}}`, nil), config: func() (Config, error) { return Config{}, errors.New("no ConfigMap") }, code: 200, want: `"allowed":true,"warnings":["the proxy's configuration is not looked at`},
		"NoConfig":             {body: review(t, plainPod, nil), config: func() (Config, error) { return Config{}, errors.New("no ConfigMap") }, code: 200, want: "no ConfigMap"},
		"Panic":                {body: review(t, plainPod, nil), config: func() (Config, error) { panic("boom") }, code: 200, want: "cannot handle this pod"},
		"Large":                {body: review(t, `{"metadata":{"annotations":{"a":"`+strings.Repeat("x", 3<<20)+`"}},"spec":{}}`, nil), code: 200, want: `"allowed":true`},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			config := test.config
			if config == nil {
				config = func() (Config, error) { return good, nil }
			}
			h := NewHandler(config, func(string) map[string]string { return test.labels }, prometheus.NewRegistry())
			kind := test.kind
			if kind == "" && name != "NoType" {
				kind = "application/json"
			}
			w := post(h, kind, test.body)
			if w.Code != test.code || !strings.Contains(w.Body.String(), test.want) {
				t.Errorf("%d %s\nwant %d %s", w.Code, w.Body, test.code, test.want)
			}
		})
	}
}

func FuzzHandler(f *testing.F) {
	f.Add([]byte(plainPod))
	f.Add([]byte(`{"metadata":{"annotations":{"proxy.istio.io/config":"{a: &a [*a]}"}},"spec":{"containers":[{"name":"istio-proxy","env":[{"name":"POD_NAME","value":"x"}]}]}}`))
	f.Add([]byte(`{"metadata":{"annotations":{"sidecar.istio.io/userVolume":"{\"a\":3}"}},"spec":{}}`))
	c := testConfig(f, "", "", "")
	f.Fuzz(func(t *testing.T, pod []byte) {
		// What comes from an API server is as an API server writes it.
		var typed corev1.Pod
		if json.Unmarshal(pod, &typed) != nil {
			return
		}
		pod, err := json.Marshal(typed)
		must(t, err)
		h := NewHandler(func() (Config, error) { return c, nil }, nil, prometheus.NewRegistry())
		w := post(h, "application/json", review(t, string(pod), nil))
		var got admissionv1.AdmissionReview
		must(t, json.Unmarshal(w.Body.Bytes(), &got))
		if got.Response == nil || testutil.ToFloat64(h.failed.WithLabelValues("panic")) > 0 {
			t.Fatalf("answer %s", w.Body)
		}
		if len(got.Response.Patch) == 0 {
			return
		}
		p, err := jsonpatch.DecodePatch(got.Response.Patch)
		must(t, err)
		if _, err := p.Apply(pod); err != nil {
			t.Errorf("the patch cannot be applied: %v", err)
		}
	})
}
