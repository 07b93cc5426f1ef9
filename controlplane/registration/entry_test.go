// SPDX-License-Identifier: Apache-2.0

package registration_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingapi "istio.io/api/networking/v1alpha3"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/registration"
)

// TestEntry: what is the group's, and what the machine's.
func TestEntry(t *testing.T) {
	for name, c := range map[string]struct {
		machine *model.Machine
		group   *networking.WorkloadGroup
		want    string
	}{
		// The group's labels go before the machine's: it can't be another application.
		"Plain": {machine: aMachine(), group: aGroup(), want: `
metadata:
  annotations: {example.com/a: b, istio.io/autoRegistrationGroup: vms, istio.io/connectedAt: "2026-01-02T03:04:05.000000678Z", istio.io/workloadController: a}
  labels: {app: db, rack: r7}
  name: vms-10.0.0.7
  namespace: shop
  ownerReferences: [{apiVersion: networking.istio.io/v1, controller: true, kind: WorkloadGroup, name: vms, uid: u1}]
spec: {address: 10.0.0.7, labels: {app: db, rack: r7}, ports: {tcp: 3306}, serviceAccount: db, weight: 3}
`},
		// What decides on others, can't be a label, or is this package's, is left out.
		"Everything": {
			machine: aMachine(func(m *model.Machine) {
				m.Network, m.Locality, m.Probed = "n2", model.Locality{Region: "eu", Zone: "eu-1"}, true
				m.Labels = map[string]string{"security.istio.io/tlsMode": "disabled", "istio-locality": "a", "topology.istio.io/locality": "b", "tier": "front", "no label": "x", "rack": "no value", "slot": "4"}
			}),
			group: aGroup(func(g *networking.WorkloadGroup) {
				g.Spec.Template = &networkingapi.WorkloadEntry{Address: "1.2.3.4", Network: "n1", Locality: "us/us-1/a", Labels: map[string]string{"app": "lost", "tier": "back"}}
				g.Spec.Metadata.Annotations = map[string]string{"istio.io/workloadController": "forged", registration.DisconnectedAnnotation: "forged", registration.HealthAnnotation: "false", "no annotation": "x"}
				g.Spec.Metadata.Labels["no label"] = "x"
			}),
			want: `
metadata:
  annotations: {istio.io/autoRegistrationGroup: vms, istio.io/connectedAt: "2026-01-02T03:04:05.000000678Z", istio.io/workloadController: a, proxy.istio.io/health-checks-enabled: "true"}
  labels: {app: db, slot: "4", tier: back}
  name: vms-10.0.0.7-n2
  namespace: shop
  ownerReferences: [{apiVersion: networking.istio.io/v1, controller: true, kind: WorkloadGroup, name: vms, uid: u1}]
spec: {address: 10.0.0.7, labels: {app: db, slot: "4", tier: back}, locality: eu/eu-1, network: n2, serviceAccount: default}
`,
		},
		"Probe": {
			machine: aMachine(), group: aGroup(func(g *networking.WorkloadGroup) {
				g.Spec.Probe, g.Spec.Metadata = &networkingapi.ReadinessProbe{}, nil
			}),
			want: `
metadata:
  annotations: {istio.io/autoRegistrationGroup: vms, istio.io/connectedAt: "2026-01-02T03:04:05.000000678Z", istio.io/workloadController: a, proxy.istio.io/health-checks-enabled: "true"}
  labels: {app: forged, rack: r7}
  name: vms-10.0.0.7
  namespace: shop
  ownerReferences: [{apiVersion: networking.istio.io/v1, controller: true, kind: WorkloadGroup, name: vms, uid: u1}]
spec: {address: 10.0.0.7, labels: {app: forged, rack: r7}, ports: {tcp: 3306}, serviceAccount: db, weight: 3}
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := registration.Entry(c.machine, c.group, "a", epoch)
			if !registration.Registered(e) {
				t.Error("it isn't told from others")
			}
			text, err := yaml.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			var got, want map[string]any
			for out, in := range map[*map[string]any]string{&got: string(text), &want: "{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, status: {}}"} {
				if err := yaml.Unmarshal([]byte(in), out); err != nil {
					t.Fatal(err)
				}
			}
			if err := yaml.Unmarshal([]byte(c.want), &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
