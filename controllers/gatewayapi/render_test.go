// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/isthmesh/isthmesh/controlplane/ingest/gatewayapi"
)

func platform() Platform {
	return PlatformOf(map[string]any{
		"global": map[string]any{
			"hub": "registry.example/isthmesh", "tag": "v1", "network": "east", "multiCluster": map[string]any{"clusterName": "east"},
			"proxy": map[string]any{"clusterDomain": "cluster.local", "logLevel": "info", "resources": map[string]any{}}, "logging": map[string]any{},
		},
		"revision": "canary", "sidecarInjectorWebhook": map[string]any{},
	}, "east.example", "v1.36.3")
}

// rendered decodes what a Gateway's proxies are.
func rendered(t *testing.T, d *gatewayapi.Deployment) (*appsv1.Deployment, *corev1.Service, *corev1.ServiceAccount) {
	t.Helper()
	objects, err := Render(d, platform())
	if err != nil {
		t.Fatal(err)
	}
	deployment, service, account := &appsv1.Deployment{}, &corev1.Service{}, &corev1.ServiceAccount{}
	for _, o := range objects {
		into := map[string]any{"Deployment": deployment, "Service": service, "ServiceAccount": account}[o.GetKind()]
		if into == nil {
			t.Fatalf("unexpected %s", o.GetKind())
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, into); err != nil {
			t.Fatal(err)
		}
	}
	return deployment, service, account
}

func example() *gatewayapi.Deployment {
	return &gatewayapi.Deployment{
		Namespace: "shop", Gateway: "edge", UID: "u-1", Class: "istio", ServiceType: "LoadBalancer",
		Ports:       []gatewayapi.DeploymentPort{{Name: "tcp-80", Number: 80, Protocol: "TCP"}, {Name: "udp-53", Number: 53, Protocol: "UDP"}},
		Labels:      map[string]string{"cost": "shop"},
		Annotations: map[string]string{"note": "x"},
	}
}

func TestRender(t *testing.T) {
	deployment, service, account := rendered(t, example())
	for what, o := range map[string]interface {
		GetName() string
		GetLabels() map[string]string
		GetAnnotations() map[string]string
	}{"Deployment": deployment, "Service": service, "ServiceAccount": account, "pod": &deployment.Spec.Template} {
		if what != "pod" && o.GetName() != "edge-istio" {
			t.Errorf("%s is named %q", what, o.GetName())
		}
		for k, want := range map[string]string{"cost": "shop", "gateway.networking.k8s.io/gateway-name": "edge", managedLabel: managedValue} {
			if o.GetLabels()[k] != want {
				t.Errorf("%s has labels %v, wants %s=%s", what, o.GetLabels(), k, want)
			}
		}
		if o.GetAnnotations()["note"] != "x" {
			t.Errorf("%s has annotations %v", what, o.GetAnnotations())
		}
	}
	if refs := deployment.OwnerReferences; len(refs) != 1 || refs[0].UID != "u-1" || refs[0].Kind != "Gateway" {
		t.Errorf("owners %v", refs)
	}
	if deployment.Spec.Replicas != nil {
		t.Error("replicas are set: nobody else could scale the proxies")
	}
	var ports []string
	for _, p := range service.Spec.Ports {
		ports = append(ports, p.Name+" "+string(p.Protocol)+" "+p.TargetPort.String())
	}
	if diff := cmp.Diff([]string{"status-port TCP 15021", "tcp-80 TCP 80", "udp-53 UDP 53"}, ports); diff != "" {
		t.Error(diff)
	}
	if image := deployment.Spec.Template.Spec.Containers[0].Image; image != "registry.example/isthmesh/proxy:v1" {
		t.Errorf("image %s", image)
	}
}

// TestRenderHostile replays CVE-2021-22701: what a Gateway says can't become a
// part of its pods other than labels and annotations of its own.
func TestRenderHostile(t *testing.T) {
	plain, _, _ := rendered(t, example())
	d := example()
	d.Annotations = map[string]string{
		"note":                        "x\n      hostNetwork: true\n      containers: []",
		"a\n      hostNetwork":        "true",
		"sidecar.istio.io/inject":     "true",
		"inject.istio.io/templates":   "mine",
		"proxy.istio.io/config":       "{}",
		"k8s.v1.cni.cncf.io/networks": "host",
		"container.apparmor.security.beta.kubernetes.io/istio-proxy": "unconfined",
		"{{ .Values.global.hub }}":                                   "x",
	}
	d.Labels = map[string]string{"app": "istiod", "istio": "ingressgateway", "istio.io/rev": "mine", "topology.istio.io/network": "other", "{{ toYaml . }}": "x"}
	hostile, _, _ := rendered(t, d)
	want, got := plain.Spec.Template, hostile.Spec.Template
	if diff := cmp.Diff(want.Spec, got.Spec); diff != "" {
		t.Errorf("the pod's spec differs:\n%s", diff)
	}
	for k := range got.Annotations {
		if strings.Contains(k, "istio.io/") && got.Annotations[k] != want.Annotations[k] || isReserved(strings.Split(k, "/")[0]) && want.Annotations[k] == "" {
			t.Errorf("annotation %s=%s got through", k, got.Annotations[k])
		}
	}
	for k, v := range want.Labels {
		if k != "cost" && got.Labels[k] != v {
			t.Errorf("label %s is %q, wants %q", k, got.Labels[k], v)
		}
	}
	if diff := cmp.Diff(plain.Spec.Selector, hostile.Spec.Selector); diff != "" {
		t.Error(diff)
	}
}

func TestObjectName(t *testing.T) {
	long := strings.Repeat("a", 80)
	tests := map[string]struct{ gateway, class, want string }{
		"Plain": {"edge", "istio", "edge-istio"},
		"Dots":  {"a.b", "istio", "a-b-istio-16ce0e79"},
		"Digit": {"1", "istio", "gw-1-istio-4dd7eb71"},
		"Long":  {long, "istio", ""},
	}
	seen := map[string]bool{}
	for name, test := range tests {
		got := objectName(&gatewayapi.Deployment{Gateway: test.gateway, Class: test.class})
		if problems := validation.IsDNS1035Label(got); len(problems) > 0 || seen[got] {
			t.Errorf("%s: %q: %v", name, got, problems)
		}
		seen[got] = true
		if test.want != "" && !strings.HasPrefix(got, test.want[:min(len(test.want), 9)]) {
			t.Errorf("%s: %q, wants %q", name, got, test.want)
		}
	}
}
