// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/federation/trust"
)

func newFake(t *testing.T, objects ...client.Object) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
}

const (
	good     = `{"metadata":{"name":"west","namespace":"default","labels":{"mesh":"shop"}},"spec":{"kubeconfigSecretRef":{"name":"west"}}}`
	badly    = `{"metadata":{"name":"west","namespace":"default","labels":{"mesh":"shop"}%s},"spec":{"kubeconfigSecretRef":{"name":"west"},"gateway":{"addresses":["0.0.0.0"]}%s}}`
	deleting = `,"deletionTimestamp":"2026-01-01T00:00:00Z"`
)

// TestHandler has reviews as the API server sends them, and as nobody should.
func TestHandler(t *testing.T) {
	bad := fmt.Sprintf(badly, "", "")
	cases := map[string]struct {
		operation, kind, subresource, object, old string
		allowed                                   bool
		says                                      string // in the message or the warnings
	}{
		"Good":             {operation: "CREATE", object: good, allowed: true, says: `Secret "west" with the cluster's kubeconfig is not there yet`},
		"Bad":              {operation: "CREATE", object: bad, says: "spec.gateway.addresses[0]"},
		"GeneratedName":    {operation: "CREATE", object: `{"metadata":{"generateName":"west-"},"spec":{"gateway":{"addresses":["0.0.0.0"]}}}`, says: "MeshMember default/west-: "},
		"Deleting":         {operation: "UPDATE", object: fmt.Sprintf(badly, deleting, ""), old: good, allowed: true},
		"DeletingUnread":   {operation: "UPDATE", object: fmt.Sprintf(badly, deleting, `,"unreachableTimeout":"soon"`), old: good, allowed: true},
		"Deleted":          {operation: "DELETE", object: "null", old: bad, allowed: true},
		"Status":           {operation: "UPDATE", subresource: "status", object: bad, old: good, allowed: true},
		"Finalizer":        {operation: "UPDATE", object: fmt.Sprintf(badly, `,"finalizers":["a.b/c"]`, ""), old: bad, allowed: true},
		"BadBefore":        {operation: "UPDATE", object: fmt.Sprintf(badly, "", `,"traffic":"Cordoned"`), old: bad, allowed: true, says: "spec.gateway.addresses[0]"},
		"NewlyBad":         {operation: "UPDATE", object: bad, old: good, says: "spec.gateway.addresses[0]"},
		"Mended":           {operation: "UPDATE", object: good, old: bad, allowed: true, says: "not there yet"},
		"OtherKind":        {operation: "CREATE", kind: "Gateway", object: bad, allowed: true},
		"Null":             {operation: "CREATE", object: "null", says: "MeshMember default/west can't be read: it is no JSON object"},
		"List":             {operation: "CREATE", object: "[]", says: "no JSON object"},
		"WrongType":        {operation: "CREATE", object: `{"spec":{"gateway":{"port":"x"}}}`, says: "can't be read"},
		"UnreadBefore":     {operation: "UPDATE", object: `{"spec":{"network":"a","unreachableTimeout":"soon"}}`, old: `{"spec":{"unreachableTimeout":"soon"}}`, allowed: true, says: "can't be read"},
		"Nested":           {operation: "CREATE", object: strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000), says: "nested deeper"},
		"NestedValues":     {operation: "CREATE", kind: "MeshFederation", object: `{"spec":{"trust":{"domain":"a"},"controlPlane":{"values":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}}}`, says: "nested deeper"},
		"ManyValues":       {operation: "CREATE", kind: "MeshFederation", object: `{"spec":{"trust":{"domain":"a"},"controlPlane":{"values":{` + strings.Repeat(`"a":1,`, 50_000) + `"b":1}}}}`, says: "is not known"},
		"NothingInIt":      {operation: "CREATE", object: `{}`, allowed: true, says: "no MeshFederation"},
		"NothingSaid":      {operation: "CREATE", kind: "MeshFederation", object: `{}`, says: "spec.trust.domain"},
		"NullItems":        {operation: "CREATE", kind: "MeshFederation", object: `{"spec":{"trust":{"domain":"a"},"memberSelector":{"matchExpressions":[null]},"exports":{"rules":[null]},"controlPlane":{"values":null}}}`, says: "spec.memberSelector"},
		"HostileTemplates": {operation: "CREATE", kind: "MeshFederation", object: `{"spec":{"trust":{"domain":"a"},"controlPlane":{"values":{"podAnnotations":{"a":"{{ fail \"x\" }}"}}}}}`, allowed: true},
	}
	handler := (&Webhook{Reader: newFake(t, federation("shop"))}).Handler()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			kind, old := c.kind, c.old
			if kind == "" {
				kind = "MeshMember"
			}
			if old == "" {
				old = "null"
			}
			code, answer := post(t, handler, fmt.Sprintf(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","operation":%q,"subResource":%q,`+
				`"kind":{"group":"federation.isthmesh.dev","version":"v1alpha1","kind":%q},"namespace":"default","name":"west","object":%s,"oldObject":%s}}`,
				c.operation, c.subresource, kind, c.object, old))
			if code != http.StatusOK || answer.Allowed != c.allowed {
				t.Fatalf("code %d, answer %+v, want allowed %v", code, answer, c.allowed)
			}
			said := strings.Join(answer.Warnings, "\n")
			if answer.Result != nil {
				said += answer.Result.Message
			}
			if (c.says == "") != (said == "") || !strings.Contains(said, c.says) {
				t.Errorf("it says %q, want %q", said, c.says)
			}
			if len(said) > mostFindings*2*mostText {
				t.Errorf("it says %d bytes", len(said))
			}
		})
	}
}

func post(t *testing.T, handler http.Handler, body string) (int, admissionv1.AdmissionResponse) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, Path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &review); err != nil || review.Response == nil {
		t.Fatalf("code %d: %s: %v", w.Code, w.Body, err)
	}
	return w.Code, *review.Response
}

// TestHostileBodies: what can't be read as a review is answered with an error,
// and one that asks for nothing is granted nothing in particular.
func TestHostileBodies(t *testing.T) {
	handler := (&Webhook{Reader: newFake(t)}).Handler()
	for name, c := range map[string]struct {
		body    string
		allowed bool
	}{
		"Garbage":   {"{", false},
		"TooLarge":  {strings.Repeat(" ", 7<<20) + "{}", false},
		"NoRequest": {`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			if _, answer := post(t, handler, c.body); answer.Allowed != c.allowed {
				t.Errorf("answer %+v, want allowed %v", answer, c.allowed)
			}
		})
	}
}

func TestKubeconfigWarns(t *testing.T) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "west"}, Data: map[string][]byte{"kubeconfig": []byte("{")}}
	w := &Webhook{Reader: newFake(t, federation("shop"), secret)}
	_, answer := post(t, w.Handler(), `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","operation":"CREATE",`+
		`"kind":{"group":"federation.isthmesh.dev","version":"v1alpha1","kind":"MeshMember"},"namespace":"default","name":"west","object":`+good+`}}`)
	if said := strings.Join(answer.Warnings, "\n"); !answer.Allowed || !strings.Contains(said, `key "kubeconfig" is not a kubeconfig`) {
		t.Errorf("answer %+v", answer)
	}
}

// TestCertificate: replicas and restarts share one root; one that is lost, broken
// or old is replaced, and that is told.
func TestCertificate(t *testing.T) {
	kube, now, changed := newFake(t), time.Now(), make(chan struct{}, 1)
	begin := func() *Certificate {
		return &Certificate{Client: kube, Namespace: "hub", Now: func() time.Time { return now }, Rand: rand.Reader, Log: logr.Discard(), Changed: changed}
	}
	refresh := func(c *Certificate, news bool) {
		t.Helper()
		if err := c.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if told := len(changed) == 1; told != news {
			t.Errorf("told is %v, want %v", told, news)
		}
		for len(changed) > 0 {
			<-changed
		}
		leaf, err := c.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		roots, err := trust.ParseBundle([]byte(c.Roots()))
		if err != nil {
			t.Fatal(err)
		}
		if err := trust.VerifyHub(roots, "isthmesh-hub-webhook.hub.svc", []*x509.Certificate{leaf.Leaf}, now); err != nil {
			t.Error(err)
		}
	}
	first := begin()
	if _, err := first.GetCertificate(nil); err == nil || first.Roots() != "" {
		t.Error("there is a certificate before there is one")
	}
	refresh(first, true)
	refresh(first, false)
	root := first.Roots()

	second := begin()
	refresh(second, true)
	if second.Roots() != root {
		t.Error("a restart made another root")
	}
	leaf, _ := first.GetCertificate(nil)
	now = now.Add(60 * 24 * time.Hour)
	refresh(first, false)
	if again, _ := first.GetCertificate(nil); again == leaf || first.Roots() != root {
		t.Error("after two months there is no other leaf, or another root")
	}
	for name, spoil := range map[string]func(s *corev1.Secret){
		"Malformed": func(s *corev1.Secret) { s.Data = map[string][]byte{"tls.crt": []byte("x")} },
		"Old":       func(*corev1.Secret) { now = now.Add(9 * 365 * 24 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			before := first.Roots()
			var s corev1.Secret
			if err := kube.Get(t.Context(), client.ObjectKey{Namespace: "hub", Name: SecretName}, &s); err != nil {
				t.Fatal(err)
			}
			spoil(&s)
			if err := kube.Update(t.Context(), &s); err != nil {
				t.Fatal(err)
			}
			refresh(first, true)
			if first.Roots() == before {
				t.Error("the root is the same")
			}
		})
	}
}
