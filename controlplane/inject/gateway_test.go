// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/isthmesh/isthmesh/controllers/install"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestGatewaysOfTheChart: the pods that the gateway chart makes are shown to the
// webhook of their revision, and to no other, and are given what is configured.
func TestGatewaysOfTheChart(t *testing.T) {
	for name, revision := range map[string]string{"Default": "", "Revision": "canary"} {
		t.Run(name, func(t *testing.T) {
			var deployment appsv1.Deployment
			read(t, rendered(t, install.Gateway, revision, "Deployment"), &deployment)
			var webhooks admissionregistrationv1.MutatingWebhookConfiguration
			read(t, rendered(t, install.Istiod, revision, "MutatingWebhookConfiguration"), &webhooks)
			pod := &corev1.Pod{ObjectMeta: deployment.Spec.Template.ObjectMeta, Spec: deployment.Spec.Template.Spec}

			shown := 0
			for _, w := range webhooks.Webhooks {
				s, err := metav1.LabelSelectorAsSelector(w.ObjectSelector)
				must(t, err)
				if !s.Matches(labels.Set(pod.Labels)) {
					continue
				}
				shown++
				if *w.FailurePolicy != admissionregistrationv1.Ignore {
					t.Errorf("webhook %s: a gateway waits for the control plane", w.Name)
				}
			}
			if shown != 1 {
				t.Errorf("a gateway's pod is shown to %d webhooks", shown)
			}
			c := testConfig(t, "", "", "")
			c.Revision = first(revision, "default")
			three := int32(3)
			c.ProxyConfigs = []*model.ProxyConfig{{Origin: model.Origin{Namespace: "istio-system", Name: "mesh"}, Concurrency: &three}}
			got, err := Inject(pod, c)
			must(t, err)
			at := proxyIn(got.Pod)
			if at == nil || at.Env[len(at.Env)-1] != (corev1.EnvVar{Name: "PROXY_CONFIG", Value: `{"concurrency":3}`}) {
				t.Errorf("the gateway is not configured: %s, %v", got.Skipped, at)
			}
			c.Revision = "other"
			if got, err := Inject(pod, c); err != nil || got.Pod != pod {
				t.Errorf("a gateway of another revision is changed: %v", err)
			}
		})
	}
}

func rendered(t *testing.T, chart, revision, kind string) *unstructured.Unstructured {
	t.Helper()
	objects, err := install.Render(chart, map[string]any{"revision": revision}, "edge", "istio-system", "v1.36.0")
	must(t, err)
	for _, o := range objects {
		if o.GetKind() == kind {
			return o
		}
	}
	t.Fatalf("chart has no %s", kind)
	return nil
}

func read(t *testing.T, u *unstructured.Unstructured, into any) {
	t.Helper()
	must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, into))
}
