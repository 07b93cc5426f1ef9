// SPDX-License-Identifier: Apache-2.0

package webhookcert

import (
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// Only webhooks that call this control plane's Service get its roots.
func TestReconcile(t *testing.T) {
	calls := func(service, namespace, bundle string) admissionv1.WebhookClientConfig {
		return admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Name: service, Namespace: namespace}, CABundle: []byte(bundle)}
	}
	url := "https://example.com/"
	cases := map[string]struct {
		config      admissionv1.WebhookClientConfig
		roots, want string
	}{
		"New":            {calls("istiod", "istio-system", ""), "roots", "roots"},
		"Old":            {calls("istiod", "istio-system", "old"), "roots", "roots"},
		"NoRootsYet":     {calls("istiod", "istio-system", "old"), "", "old"},
		"OtherService":   {calls("other", "istio-system", "theirs"), "roots", "theirs"},
		"OtherNamespace": {calls("istiod", "elsewhere", "theirs"), "roots", "theirs"},
		"ByURL":          {admissionv1.WebhookClientConfig{URL: &url, CABundle: []byte("theirs")}, "roots", "theirs"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			meta := metav1.ObjectMeta{Name: "injector"}
			mutating := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: meta, Webhooks: []admissionv1.MutatingWebhook{{Name: "a.b.c", ClientConfig: c.config}}}
			validating := &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: meta, Webhooks: []admissionv1.ValidatingWebhook{{Name: "a.b.c", ClientConfig: c.config}}}
			kube := fake.NewClientBuilder().WithObjects(mutating, validating).Build()
			r := &Reconciler{Client: kube, Service: "istiod", Namespace: "istio-system", Roots: func() string { return c.roots }}
			for _, o := range []client.Object{mutating, validating} {
				if err := kube.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := (mutatingReconciler{r}).Reconcile(t.Context(), mutating); err != nil {
				t.Fatal(err)
			}
			if _, err := (validatingReconciler{r}).Reconcile(t.Context(), validating); err != nil {
				t.Fatal(err)
			}
			var m admissionv1.MutatingWebhookConfiguration
			var v admissionv1.ValidatingWebhookConfiguration
			for _, o := range []client.Object{&m, &v} {
				if err := kube.Get(t.Context(), client.ObjectKey{Name: "injector"}, o); err != nil {
					t.Fatal(err)
				}
			}
			if got := string(m.Webhooks[0].ClientConfig.CABundle); got != c.want {
				t.Errorf("mutating: caBundle %q, want %q", got, c.want)
			}
			if got := string(v.Webhooks[0].ClientConfig.CABundle); got != c.want {
				t.Errorf("validating: caBundle %q, want %q", got, c.want)
			}
		})
	}
}
