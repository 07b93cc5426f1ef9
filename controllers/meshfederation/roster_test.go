// SPDX-License-Identifier: Apache-2.0

package meshfederation

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/federation/hub"
)

func metaKey(name string) client.ObjectKey { return client.ObjectKey{Namespace: "default", Name: name} }

func memberNamed(name string, change func(*v1alpha1.MeshMember)) v1alpha1.MeshMember {
	m := v1alpha1.MeshMember{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: "uid-of-" + "m"},
		Spec:       v1alpha1.MeshMemberSpec{Locality: v1alpha1.Locality{Region: "eu"}, Traffic: v1alpha1.TrafficActive},
		Status: v1alpha1.MeshMemberStatus{
			Federation: "shop", Network: name, TrustDomain: name + ".shop.example",
			Gateway: v1alpha1.GatewayStatus{Addresses: []string{"192.0.2.1:15443", "[2001:db8::1]:15443"}},
			Trust:   v1alpha1.MemberTrustStatus{IntermediateSerial: "2", PreviousSerial: "1"},
		},
	}
	if change != nil {
		change(&m)
	}
	return m
}

// TestMembers: the hub is told of those that are in a federation and stay in it.
func TestMembers(t *testing.T) {
	deleted := metav1.Now()
	federations := []v1alpha1.MeshFederation{
		{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop"},
			Spec:       v1alpha1.MeshFederationSpec{Exports: v1alpha1.Exports{Rules: []v1alpha1.ExportRule{{Members: []string{"west"}, Namespaces: []string{"pay"}}}}},
		},
		{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "ending", DeletionTimestamp: &deleted}},
	}
	members := []v1alpha1.MeshMember{
		memberNamed("west", func(m *v1alpha1.MeshMember) { m.Spec.Traffic = v1alpha1.TrafficDraining }),
		memberNamed("east", func(m *v1alpha1.MeshMember) {
			m.Status.Trust.PreviousSerial, m.Status.Gateway.Addresses = "", nil
		}),
		memberNamed("leaving", func(m *v1alpha1.MeshMember) { m.DeletionTimestamp = &deleted }),
		memberNamed("outside", func(m *v1alpha1.MeshMember) { m.Status.Federation = "" }),
		memberNamed("elsewhere", func(m *v1alpha1.MeshMember) { m.Namespace = "other" }),
		memberNamed("ending", func(m *v1alpha1.MeshMember) { m.Status.Federation = "ending" }),
		memberNamed("twin", func(m *v1alpha1.MeshMember) {
			m.Status.Conditions = []metav1.Condition{{Type: v1alpha1.Reachable, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonClusterAlreadyMember}}
		}),
	}
	rules := hub.ExportRules{{Members: []string{"west"}, Namespaces: []string{"pay"}}}
	want := []hub.Member{
		{
			Federation: "default/shop", Name: "east", UID: "uid-of-m", Network: "east", TrustDomain: "east.shop.example",
			Locality: model.Locality{Region: "eu"}, Intermediates: []string{"2"}, Exports: rules,
		},
		{
			Federation: "default/shop", Name: "west", UID: "uid-of-m", Network: "west", TrustDomain: "west.shop.example",
			Locality: model.Locality{Region: "eu"}, Intermediates: []string{"2", "1"}, Exports: rules, Cordoned: true,
			Gateways: []model.GatewayAddress{{Address: "192.0.2.1", Port: 15443}, {Address: "2001:db8::1", Port: 15443}},
		},
	}
	if diff := cmp.Diff(want, Members(federations, members)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := Members(nil, nil); got == nil || len(got) != 0 {
		t.Errorf("without members: %v, want a list that is empty", got)
	}
}

func TestServiceAddress(t *testing.T) {
	service := func(kind corev1.ServiceType, ingress ...corev1.LoadBalancerIngress) *corev1.Service {
		return &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "isthmesh-system", Name: "isthmesh-hub"},
			Spec:       corev1.ServiceSpec{Type: kind, Ports: []corev1.ServicePort{{Port: 15060}}},
			Status:     corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: ingress}},
		}
	}
	tests := map[string]struct {
		service       *corev1.Service
		address, hint string
	}{
		"IP":       {service(corev1.ServiceTypeLoadBalancer, corev1.LoadBalancerIngress{IP: "192.0.2.1"}), "192.0.2.1:15060", ""},
		"IPv6":     {service(corev1.ServiceTypeLoadBalancer, corev1.LoadBalancerIngress{IP: "2001:db8::1"}), "[2001:db8::1]:15060", ""},
		"Hostname": {service(corev1.ServiceTypeLoadBalancer, corev1.LoadBalancerIngress{Hostname: "hub.example"}), "hub.example:15060", ""},
		"Pending": {
			service(corev1.ServiceTypeLoadBalancer), "",
			"Service isthmesh-system/isthmesh-hub has no load balancer address yet: if the cluster has no load balancer, give the hub chart federation.address, host:port at which members reach it",
		},
		"NodePort": {
			service(corev1.ServiceTypeNodePort), "",
			"Service isthmesh-system/isthmesh-hub is of type NodePort, from which no address outside of the cluster follows: give the hub chart federation.address, host:port at which members reach it",
		},
	}
	for name, test := range tests {
		address, hint := addressOf(test.service)
		if address != test.address || hint != test.hint {
			t.Errorf("%s: got %q, %q\nwant %q, %q", name, address, hint, test.address, test.hint)
		}
	}
}
