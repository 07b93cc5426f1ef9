// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/admission"
	"github.com/isthmesh/isthmesh/controllers/install"
)

// validated puts the chart's webhook configuration for one namespace into the
// hub's cluster, and a Service that leads to the hub of this test.
func validated(t *testing.T, c client.Client, namespace string) {
	t.Helper()
	values := map[string]any{"watchNamespaces": []any{namespace}}
	objects, err := install.Render(install.Hub, values, "isthmesh-hub", "default", "v1.36.3")
	if err != nil {
		t.Fatal(err)
	}
	config := &admissionv1.ValidatingWebhookConfiguration{}
	for _, o := range objects {
		if o.GetKind() != "ValidatingWebhookConfiguration" {
			continue
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, config, true); err != nil {
			t.Fatal(err)
		}
	}
	host, text, err := net.SplitHostPort(webhookAddress)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	if len(config.Webhooks) != 1 || config.Webhooks[0].ClientConfig.CABundle != nil {
		t.Fatalf("the chart has webhooks %+v", config.Webhooks)
	}
	config.Webhooks[0].ClientConfig.Service.Port = new(int32(port))
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: admission.ServiceName},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: host},
	}
	create(t, c, service, config)
	t.Cleanup(func() {
		for _, o := range []client.Object{config, service} {
			if err := c.Delete(context.Background(), o); err != nil {
				t.Error(err)
			}
		}
	})
	eventually(t, func() string {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(config), config); err != nil {
			return err.Error()
		}
		if len(config.Webhooks[0].ClientConfig.CABundle) == 0 {
			return "the hub put no caBundle into its webhook configuration"
		}
		return ""
	})
}

// heard collects the warnings of an API server.
type heard struct {
	mu    sync.Mutex
	texts []string
}

func (h *heard) HandleWarningHeader(_ int, _, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.texts = append(h.texts, text)
}

func (h *heard) take() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := strings.Join(h.texts, "\n")
	h.texts = nil
	return out
}

// TestValidation: the API server refuses what can't work, with a message that
// names object, field and mend; warns of what doesn't work yet; and lets
// everything go that is to go.
func TestValidation(t *testing.T) {
	warnings := &heard{}
	startHub(t)
	config := rest.CopyConfig(hubCluster.Config)
	config.WarningHandler = warnings
	c, err := client.New(config, client.Options{Scheme: newClient(t, hubCluster).Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	shop := namespace(t, c, "validated")
	// From before there was a webhook, and wrong.
	old, _ := newMember(shop, "old", nil)
	old.Spec.Gateway.Addresses = []string{"192.0.2.999"}
	create(t, c, old)
	condition(t, c, old, v1alpha1.Ready, metav1.ConditionFalse, v1alpha1.ReasonKubeconfigSecretNotFound)
	validated(t, c, "validated")

	bad := &v1alpha1.MeshFederation{ObjectMeta: metav1.ObjectMeta{Namespace: "validated", Name: "bank"}}
	bad.Spec = *shop.Spec.DeepCopy()
	bad.Spec.MemberSelector.MatchLabels = map[string]string{"mesh": "bank"}
	bad.Spec.ControlPlane.Values = &apiextensionsv1.JSON{Raw: []byte(`{"replicaCount":"two"}`)}
	// The API server takes up a configuration in its own time.
	var refusal error
	eventually(t, func() string {
		if refusal = c.Create(t.Context(), bad.DeepCopy(), client.DryRunAll); !apierrors.IsInvalid(refusal) {
			return "it is not refused by the hub: " + errorText(refusal)
		}
		return ""
	})
	const want = `MeshFederation validated/bank: spec.controlPlane.values: chart istiod refuses the values: "replicaCount" is wrong: got string, want integer`
	if !strings.Contains(refusal.Error(), want) {
		t.Errorf("got  %v\nwant %s", refusal, want)
	}

	// GitOps applies in any order: what isn't there yet is only warned of.
	west, secret := newMember(shop, "west", nil)
	warned(t, warnings, `Secret "west-kubeconfig" with the cluster's kubeconfig is not there yet`, func() error {
		return c.Create(t.Context(), west.DeepCopy(), client.DryRunAll)
	})
	create(t, c, west)
	twin, _ := newMember(shop, "twin", nil)
	twin.Spec.KubeconfigSecretRef.Name = secret.Name
	eventually(t, func() string { // the hub's cache has west in a moment
		err := c.Create(t.Context(), twin.DeepCopy(), client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), `MeshMember validated/twin: spec.kubeconfigSecretRef: MeshMember "west" has the kubeconfig of Secret "west-kubeconfig" already`) {
			return "a second member of the Secret: " + errorText(err)
		}
		return ""
	})

	// What was wrong before can be changed, is told of, and goes.
	cordoned := func(m *v1alpha1.MeshMember) { m.Spec.Traffic = v1alpha1.TrafficCordoned }
	warned(t, warnings, `"192.0.2.999" is no IPv4 address`, func() error {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(old), old); err != nil {
			return err
		}
		cordoned(old)
		return c.Update(t.Context(), old.DeepCopy(), client.DryRunAll)
	})
	patch(t, c, old, cordoned)
	if err := c.Delete(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	gone(t, c, old)
	removeAll(t, c, "validated")
}

// warned tries until the API server takes something with a warning: an answer of the
// hub that comes too late is done without.
func warned(t *testing.T, warnings *heard, want string, try func() error) {
	t.Helper()
	eventually(t, func() string {
		warnings.take()
		err := try()
		if said := warnings.take(); err != nil || !strings.Contains(said, want) {
			return fmt.Sprintf("error %s, warnings %q, want %q", errorText(err), said, want)
		}
		return ""
	})
}

func errorText(err error) string {
	if err == nil {
		return "none"
	}
	return err.Error()
}
