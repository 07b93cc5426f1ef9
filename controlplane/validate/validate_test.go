// SPDX-License-Identifier: Apache-2.0

package validate

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

var settings = model.Settings{RootNamespace: "istio-system", TrustDomain: "cluster.local", DomainSuffix: "cluster.local"}

func TestObject(t *testing.T) {
	cases := map[string]struct {
		group, kind, object string
		refused, warned     string // a part of the text; "" wants none
	}{
		"Good":            {"security.istio.io", "PeerAuthentication", `{"metadata":{"name":"default","namespace":"shop"},"spec":{"mtls":{"mode":"STRICT"}}}`, "", ""},
		"PortsNoSelector": {"security.istio.io", "PeerAuthentication", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"portLevelMtls":{"8080":{"mode":"DISABLE"}}}}`, "portLevelMtls", ""},
		"BadMode":         {"security.istio.io", "PeerAuthentication", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"mtls":{"mode":"SOMETIMES"}}}`, "can't be read", ""},
		"NotAnObject":     {"security.istio.io", "PeerAuthentication", `[]`, "can't be read", ""},
		"OtherKind":       {"networking.istio.io", "VirtualService", `{"metadata":{"name":"x","namespace":"shop"}}`, "", "VirtualService.networking.istio.io is stored, and has no effect"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			v := Object(c.group, c.kind, []byte(c.object), settings)
			check := func(what string, got []string, want string) {
				text := strings.Join(got, "\n")
				if (want == "") != (text == "") || !strings.Contains(text, want) {
					t.Errorf("%s: got %q, want %q", what, text, want)
				}
			}
			check("refused", v.Refused, c.refused)
			check("warned", v.Warnings, c.warned)
		})
	}
}

func TestHandler(t *testing.T) {
	review := func(object string) string {
		return `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","operation":"CREATE",` +
			`"kind":{"group":"security.istio.io","version":"v1","kind":"PeerAuthentication"},"namespace":"shop","name":"x","object":` + object + `}}`
	}
	cases := map[string]struct {
		contentType, body string
		code              int
		allowed           bool
	}{
		"Good":        {"application/json", review(`{"metadata":{"name":"x","namespace":"shop"},"spec":{"mtls":{"mode":"STRICT"}}}`), 200, true},
		"Refused":     {"application/json", review(`{"metadata":{"name":"x","namespace":"shop"},"spec":{"portLevelMtls":{"8080":{}}}}`), 200, false},
		"NotJSON":     {"text/plain", "x", 415, false},
		"Garbage":     {"application/json", "{", 400, false},
		"NoRequest":   {"application/json", `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, 400, false},
		"TooLarge":    {"application/json", strings.Repeat("x", maxBody+1), 413, false},
		"OldVersion":  {"application/json", strings.Replace(review(`{}`), "/v1\"", "/v1beta1\"", 1), 400, false},
		"EmptyObject": {"application/json", review(`{}`), 200, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/validate", strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.contentType)
			w := httptest.NewRecorder()
			NewHandler(settings).ServeHTTP(w, r)
			if w.Code != c.code {
				t.Fatalf("code %d, want %d: %s", w.Code, c.code, w.Body)
			}
			if w.Code != http.StatusOK {
				return
			}
			var answer admissionv1.AdmissionReview
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Fatal(err)
			}
			if answer.Response.UID != "1" || answer.Response.Allowed != c.allowed {
				t.Errorf("answer %+v, want allowed %v", answer.Response, c.allowed)
			}
		})
	}
}
