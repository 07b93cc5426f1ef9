// SPDX-License-Identifier: Apache-2.0

package addon

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/fake"
)

func TestObjects(t *testing.T) {
	got, err := objects("isthmesh/lab-coredns:dev", netip.MustParseAddr("10.111.0.10"))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, object := range got {
		kinds = append(kinds, object.GetKind())
		if object.GetKind() == "Service" {
			if address, _, _ := unstructured.NestedString(object.Object, "spec", "clusterIP"); address != "10.111.0.10" {
				t.Errorf("address %q", address)
			}
		}
	}
	if diff := cmp.Diff([]string{"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "ConfigMap", "Service", "Deployment"}, kinds); diff != "" {
		t.Error(diff)
	}
}

var on = time.Date(2026, 9, 1, 12, 0, 0, 500, time.UTC)

func TestNodeReady(t *testing.T) {
	cases := map[string]struct {
		status corev1.ConditionStatus
		at     time.Time
		want   string
	}{
		"Ready":         {corev1.ConditionTrue, on.Add(time.Second), ""},
		"SameSecond":    {corev1.ConditionTrue, on.Truncate(time.Second), ""},
		"BeforePowerOn": {corev1.ConditionTrue, on.Add(-time.Minute), "has not reported"},
		"NotReady":      {corev1.ConditionFalse, on.Add(time.Second), "is not ready"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			client := fake.NewClientset(&corev1.Node{
				ObjectMeta: metav1.ObjectMeta{Name: "n"},
				Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: c.status, LastHeartbeatTime: metav1.NewTime(c.at)}}},
			})
			check(t, NodeReady(t.Context(), client, "n", on), c.want)
		})
	}
	check(t, NodeReady(t.Context(), fake.NewClientset(), "n", on), "not found")
}

func TestDNSAvailable(t *testing.T) {
	cases := map[string]struct {
		ready bool
		at    time.Time
		want  string
	}{
		"Ready":         {true, on.Add(time.Second), ""},
		"NotReady":      {false, on.Add(time.Second), "no ready pod"},
		"BeforePowerOn": {true, on.Add(-time.Minute), "no ready pod"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			client := fake.NewClientset(&corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "coredns-1", Labels: map[string]string{"k8s-app": "kube-dns"}},
				Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
					Ready: c.ready,
					State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(c.at)}},
				}}},
			})
			check(t, DNSAvailable(t.Context(), client, on), c.want)
		})
	}
}

func check(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Error(err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("got %v, want %q", err, want)
	}
}
