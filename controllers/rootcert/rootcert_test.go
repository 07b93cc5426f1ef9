// SPDX-License-Identifier: Apache-2.0

package rootcert

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func TestReconcile(t *testing.T) {
	const roots = "-----BEGIN CERTIFICATE-----\nnew\n-----END CERTIFICATE-----\n"
	configMap := func(data string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: Name}, Data: map[string]string{Key: data}}
	}
	ending := metav1.NewTime(time.Unix(1, 0))
	cases := map[string]struct {
		roots string
		ns    metav1.ObjectMeta
		phase corev1.NamespacePhase
		have  *corev1.ConfigMap
		want  string // "" wants no ConfigMap
	}{
		"Missing":       {roots: roots, want: roots},
		"Old":           {roots: roots, have: configMap("old"), want: roots},
		"Same":          {roots: roots, have: configMap(roots), want: roots},
		"NoRootsYet":    {have: configMap("old"), want: "old"},
		"NamespaceEnds": {roots: roots, ns: metav1.ObjectMeta{DeletionTimestamp: &ending, Finalizers: []string{"x"}}},
		"Terminating":   {roots: roots, phase: corev1.NamespaceTerminating},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			builder := fake.NewClientBuilder()
			if c.have != nil {
				builder = builder.WithObjects(c.have)
			}
			kube := builder.Build()
			c.ns.Name = "shop"
			r := &Reconciler{Client: kube, Roots: func() string { return c.roots }}
			if _, err := r.Reconcile(t.Context(), &corev1.Namespace{ObjectMeta: c.ns, Status: corev1.NamespaceStatus{Phase: c.phase}}); err != nil {
				t.Fatal(err)
			}
			var got corev1.ConfigMap
			err := kube.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: Name}, &got)
			if client.IgnoreNotFound(err) != nil {
				t.Fatal(err)
			}
			if got.Data[Key] != c.want {
				t.Errorf("ConfigMap holds %q, want %q", got.Data[Key], c.want)
			}
		})
	}
}
