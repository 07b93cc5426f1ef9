// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/isthmesh/isthmesh/controllers/install"
	"github.com/isthmesh/isthmesh/test/apiserver"
)

// TestDefinitionsAreTheChart: kustomize's users and Helm's get the same kinds.
func TestDefinitionsAreTheChart(t *testing.T) {
	files, err := filepath.Glob("crd/bases/*.yaml")
	if err != nil || len(files) != 2 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		here, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		there, err := os.ReadFile(filepath.Join("..", "charts", "hub", "crds", filepath.Base(file)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(here), string(there)); diff != "" {
			t.Errorf("%s: run `make generate-api` (-config +chart):\n%s", file, diff)
		}
	}
}

// TestRightsAreTheChart: kustomize's users give the hub the rights that Helm's do.
func TestRightsAreTheChart(t *testing.T) {
	here := map[string][]rbacv1.PolicyRule{}
	for _, file := range []string{"config/rbac/role.yaml", "config/rbac/users.yaml"} {
		for _, role := range apiserver.ReadFile[rbacv1.ClusterRole](t, file) {
			if len(role.Rules) > 0 {
				here[role.Kind+" "+role.Name] = role.Rules
			}
		}
	}
	there := map[string][]rbacv1.PolicyRule{}
	objects, err := install.Render(install.Hub, nil, "isthmesh-hub", "isthmesh-system", "v1.36.3")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		var role rbacv1.ClusterRole
		if o.GetKind() != "ClusterRole" && o.GetKind() != "Role" {
			continue
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role); err != nil {
			t.Fatal(err)
		}
		there[role.Kind+" "+role.Name] = role.Rules
	}
	if diff := cmp.Diff(there, here); diff != "" {
		t.Errorf("(-chart +config):\n%s", diff)
	}
}

// TestWebhookIsTheChart: kustomize's users get the webhook that Helm's do.
func TestWebhookIsTheChart(t *testing.T) {
	type configuration struct {
		Kind     string `json:"kind"`
		Webhooks any    `json:"webhooks"`
	}
	var here, there any
	for _, o := range apiserver.ReadFile[configuration](t, "config/manager/webhook.yaml") {
		if o.Kind == "ValidatingWebhookConfiguration" {
			here = o.Webhooks
		}
	}
	objects, err := install.Render(install.Hub, nil, "isthmesh-hub", "isthmesh-system", "v1.36.3")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if o.GetKind() == "ValidatingWebhookConfiguration" {
			there = o.Object["webhooks"]
		}
	}
	if diff := cmp.Diff(there, here); diff != "" || here == nil {
		t.Errorf("(-chart +config):\n%s", diff)
	}
}
