// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// TestTheOldestWins: of two objects that clash the one that was there first stays
// in force, whatever their names, and the other's status names it; when the first
// is gone, the other takes its place.
func TestTheOldestWins(t *testing.T) {
	cp := theControlPlane(t)
	const ns = "clashes"
	p := cp.namespaceWithClient(t, ns, "10.1.0.4")
	cp.apply(t, fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: web, namespace: %[1]s}, spec: {clusterIP: None, ports: [{name: http, port: 80}]}}
`, ns))
	for name, c := range map[string]struct {
		kind, spec string
		// inForce is in the sidecar's configuration, with the object's name.
		inForce string
	}{
		"VirtualServicesOfAHost": {"VirtualService", `{hosts: [web], http: [{headers: {request: {set: {x-from: NAME}}}, route: [{destination: {host: web}}]}]}`, `"NAME"`},
	} {
		t.Run(name, func(t *testing.T) {
			api, _ := cp.object(t, c.kind, ns+"/x")
			put := func(name, port string, dryRun ...string) metav1.Time {
				t.Helper()
				u := &unstructured.Unstructured{}
				text := fmt.Sprintf("{apiVersion: networking.istio.io/v1, kind: %s, metadata: {name: %s, namespace: %s}, spec: %s}", c.kind, name, ns,
					strings.NewReplacer("NAME", name, "PORT", port).Replace(c.spec))
				if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
					t.Fatal(err)
				}
				options := createOptions
				options.DryRun = dryRun
				u, err := api.Create(t.Context(), u, options)
				if err != nil {
					t.Fatal(err)
				}
				if dryRun == nil {
					t.Cleanup(func() { cp.removeQuietly(c.kind, ns, name) })
				}
				return u.GetCreationTimestamp()
			}
			first := put("z-first", "7001")
			// Ages are in seconds, and of one second the name decides: the second is to be younger.
			eventually(t, func() string {
				if second := put("a-second", "7002", metav1.DryRunAll); !first.Before(&second) {
					return "the API server's clock stands still"
				}
				return ""
			})
			put("a-second", "7002")
			of := func(name, port string) string {
				return strings.NewReplacer("NAME", name, "PORT", port).Replace(c.inForce)
			}
			cp.says(t, c.kind, ns+"/a-second", "False Conflict: ", ns+"/z-first")
			if got := cp.condition(t, c.kind, ns+"/z-first"); strings.HasPrefix(got, "False") {
				t.Errorf("the oldest has a condition: %s", got)
			}
			if c.inForce != "" {
				p.has(t, true, of("z-first", "7001"))
				p.has(t, false, of("a-second", "7002"))
			}
			cp.remove(t, c.kind, ns+"/z-first")
			cp.says(t, c.kind, ns+"/a-second", "True Reconciled")
			if c.inForce != "" {
				p.has(t, true, of("a-second", "7002"))
			}
		})
	}
}
