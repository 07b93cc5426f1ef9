// SPDX-License-Identifier: Apache-2.0

package informers_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// TestClusterRoleHoldsWhatIsRead compares the kinds that are read with the
// chart's ClusterRole, which names each of them and no wildcard.
func TestClusterRoleHoldsWhatIsRead(t *testing.T) {
	text, err := os.ReadFile("../../charts/istiod/templates/clusterrole.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// What the template fills in is not about rights to read.
	var plain strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, "{{") {
			plain.WriteString(line)
		}
	}
	var role rbacv1.ClusterRole
	if err := yaml.Unmarshal([]byte(strings.Split(plain.String(), "\n---")[0]), &role); err != nil {
		t.Fatal(err)
	}
	may := map[string][]string{}
	for _, rule := range role.Rules {
		if slices.Contains(rule.Resources, "*") || slices.Contains(rule.Verbs, "*") || slices.Contains(rule.APIGroups, "*") {
			t.Errorf("a rule has a wildcard: %v", rule)
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				name := strings.TrimSuffix(resource+"."+group, ".")
				may[name] = append(may[name], rule.Verbs...)
			}
		}
	}
	for _, kind := range append(optionalKinds(), "services", "pods", "nodes", "namespaces", "endpointslices.discovery.k8s.io") {
		for _, verb := range []string{"get", "list", "watch"} {
			if !slices.Contains(may[kind], verb) {
				t.Errorf("the ClusterRole doesn't let %s %s", verb, kind)
			}
		}
	}
	if slices.Contains(may["secrets"], "list") {
		t.Error("the ClusterRole lets all Secrets be listed")
	}
}
