// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// injector applies the ConfigMaps that the chart makes.
func (cp *controlPlane) injector(t *testing.T) {
	t.Helper()
	sidecar, err := os.ReadFile("../../charts/istiod/files/injection-template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	values, err := os.ReadFile("../../charts/istiod/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config, err := yaml.Marshal(map[string]any{"templates": map[string]string{"sidecar": string(sidecar)}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]map[string]string{
		"istio-sidecar-injector": {"config": string(config), "values": string(values)},
		"istio":                  {"mesh": "defaultConfig: {concurrency: 1, proxyMetadata: {FROM: mesh}}"},
	} {
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "istio-system"}, Data: data}
		if _, err := cp.kube.CoreV1().ConfigMaps("istio-system").Create(t.Context(), m, createOptions); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cp.kube.CoreV1().ConfigMaps("istio-system").Delete(runs, name, metav1.DeleteOptions{})
		})
	}
}

// injected is what the webhook makes of a pod, as the API server would ask it.
func (cp *controlPlane) injected(t *testing.T, namespace, pod string) (*corev1.Pod, string) {
	t.Helper()
	object, err := yaml.YAMLToJSON([]byte(pod))
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "u", Namespace: namespace, Operation: admissionv1.Create,
			Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"}, Object: runtime.RawExtension{Raw: object},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}} //nolint:gosec // its name is a Service's
	answer, err := client.Post("https://"+cp.webhooks+"/inject", "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	var review admissionv1.AdmissionReview
	if err != nil || json.Unmarshal(text, &review) != nil || review.Response == nil || !review.Response.Allowed {
		return nil, fmt.Sprintf("%v: %s", err, text)
	}
	if len(review.Response.Patch) > 0 {
		patch, err := jsonpatch.DecodePatch(review.Response.Patch)
		if err != nil {
			t.Fatal(err)
		}
		if object, err = patch.Apply(object); err != nil {
			t.Fatal(err)
		}
	}
	out := &corev1.Pod{}
	if err := json.Unmarshal(object, out); err != nil {
		t.Fatal(err)
	}
	return out, ""
}

// variables of a pod's proxy.
func variables(pod *corev1.Pod) map[string]string {
	out := map[string]string{}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if c.Name == "istio-proxy" {
			for _, v := range c.Env {
				out[v.Name] = v.Value
			}
		}
	}
	return out
}

// TestProxyConfigs: an object that is applied is in the next pod, its mistakes are
// in its status, and of two the oldest holds.
func TestProxyConfigs(t *testing.T) {
	cp := theControlPlane(t)
	const ns = "proxyconfigs"
	cp.apply(t, fmt.Sprintf(`{apiVersion: v1, kind: Namespace, metadata: {name: %s}}`, ns))
	cp.injector(t)
	const pod = `{apiVersion: v1, kind: Pod, metadata: {name: web-1, labels: {app: web}}, spec: {containers: [{name: app, image: app}]}}`
	has := func(pod, name, want string) {
		t.Helper()
		eventuallyUntil(t, time.Now().Add(patience), func() string {
			made, why := cp.injected(t, ns, pod)
			if why != "" {
				return why
			}
			if got := variables(made)[name]; got != want {
				return fmt.Sprintf("%s is %q, want %q", name, got, want)
			}
			return ""
		})
	}
	has(pod, "PROXY_CONFIG", `{"concurrency":1,"proxyMetadata":{"FROM":"mesh"}}`)

	object := func(name, spec string) string {
		return fmt.Sprintf(`{apiVersion: networking.istio.io/v1beta1, kind: ProxyConfig, metadata: {name: %s, namespace: %s}, spec: %s}`, name, ns, spec)
	}
	cp.apply(t, object("first", `{concurrency: 2, environmentVariables: {FROM: namespace, TRUST_DOMAIN: evil}}`))
	has(pod, "PROXY_CONFIG", `{"concurrency":2,"proxyMetadata":{"FROM":"namespace"}}`)
	has(pod, "FROM", "namespace")
	has(pod, "TRUST_DOMAIN", "cluster.local")
	cp.says(t, "ProxyConfig", ns+"/first", "True NotSupported: ", "spec.environmentVariables[TRUST_DOMAIN]", "left out")

	// Younger by a second: of the same second the first by name would win, as it would here.
	cp.apply(t, object("second", `{concurrency: 3}`))
	cp.says(t, "ProxyConfig", ns+"/second", "False Conflict: ", "ProxyConfig "+ns+"/first is older")
	cp.apply(t, object("workload", `{selector: {matchLabels: {app: web}}, concurrency: 4}`))
	has(pod, "PROXY_CONFIG", `{"concurrency":4,"proxyMetadata":{"FROM":"namespace"}}`)
	if c := cp.condition(t, "ProxyConfig", ns+"/workload"); c != "" {
		t.Errorf("a good one has a condition: %s", c)
	}
	t.Run("Gateway", func(t *testing.T) {
		const gateway = `{apiVersion: v1, kind: Pod, metadata: {name: edge-1, labels: {app: web, istio.io/rev: default, sidecar.istio.io/inject: "false"}},
  spec: {containers: [{name: istio-proxy, image: "isthmesh/proxy:dev", args: [proxy, router]}]}}`
		has(gateway, "PROXY_CONFIG", `{"concurrency":4,"proxyMetadata":{"FROM":"namespace"}}`)
		has(gateway, "FROM", "namespace")
	})
	t.Run("Removed", func(t *testing.T) {
		cp.remove(t, "ProxyConfig", ns+"/workload")
		cp.remove(t, "ProxyConfig", ns+"/first")
		has(pod, "PROXY_CONFIG", `{"concurrency":3,"proxyMetadata":{"FROM":"mesh"}}`)
		cp.says(t, "ProxyConfig", ns+"/second", "True Reconciled")
	})
	cp.alive(t)
}
