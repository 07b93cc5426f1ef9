// SPDX-License-Identifier: Apache-2.0

package loadbalancer

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

const (
	nodeIP   = "10.211.11.2"
	firstIP  = "10.211.11.128"
	secondIP = "10.211.11.129"
)

func asking(s *corev1.Service, address string) *corev1.Service {
	s.Spec.LoadBalancerIP = address
	return s
}

func service(name string, age int, kind corev1.ServiceType, port int32, address string) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, CreationTimestamp: metav1.Unix(int64(1000-age), 0)},
		Spec:       corev1.ServiceSpec{Type: kind, Ports: []corev1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: port}}},
	}
	if address != "" {
		s.Status.LoadBalancer.Ingress = ingress([]string{address})
	}
	return s
}

func TestAssign(t *testing.T) {
	const lb, ip = corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeClusterIP
	class := "other"
	foreign := service("web", 1, lb, 80, "")
	foreign.Spec.LoadBalancerClass = &class
	cases := map[string]struct {
		services []*corev1.Service
		want     map[string]string
	}{
		"New":         {[]*corev1.Service{service("web", 1, lb, 80, "")}, map[string]string{"web": nodeIP}},
		"Done":        {[]*corev1.Service{service("web", 1, lb, 80, nodeIP)}, map[string]string{}},
		"OldAddress":  {[]*corev1.Service{service("web", 1, lb, 80, "10.0.0.1")}, map[string]string{"web": nodeIP}},
		"TypeChanged": {[]*corev1.Service{service("web", 1, ip, 80, nodeIP)}, map[string]string{"web": ""}},
		"ClusterIP":   {[]*corev1.Service{service("web", 1, ip, 80, "")}, map[string]string{}},
		"OtherClass":  {[]*corev1.Service{foreign}, map[string]string{}},
		"TwoPorts":    {[]*corev1.Service{service("a", 1, lb, 80, ""), service("b", 1, lb, 81, "")}, map[string]string{"a": nodeIP, "b": nodeIP}},
		"PortTaken":   {[]*corev1.Service{service("young", 1, lb, 80, nodeIP), service("old", 2, lb, 80, "")}, map[string]string{"old": nodeIP, "young": firstIP}},
		"SameAge":     {[]*corev1.Service{service("b", 1, lb, 80, ""), service("a", 1, lb, 80, "")}, map[string]string{"a": nodeIP, "b": firstIP}},
		"OwnStays":    {[]*corev1.Service{service("young", 1, lb, 80, secondIP), service("old", 2, lb, 80, nodeIP)}, map[string]string{}},
		"Asks":        {[]*corev1.Service{asking(service("web", 1, lb, 80, ""), secondIP)}, map[string]string{"web": secondIP}},
		"AsksTheNode": {[]*corev1.Service{asking(service("web", 1, lb, 80, ""), nodeIP)}, map[string]string{"web": nodeIP}},
		"AsksTaken":   {[]*corev1.Service{asking(service("a", 2, lb, 80, ""), secondIP), asking(service("b", 1, lb, 80, ""), secondIP)}, map[string]string{"a": secondIP}},
		"AsksForeign": {[]*corev1.Service{asking(service("web", 1, lb, 80, nodeIP), "192.0.2.1")}, map[string]string{"web": ""}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := map[string]string{}
			for _, update := range Assign(c.services, []string{nodeIP}) {
				got[update.Name] = ""
				for _, point := range update.Status.LoadBalancer.Ingress {
					got[update.Name] = point.IP
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRun(t *testing.T) {
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "west-control-plane"},
		Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: nodeIP}}},
	}
	client := fake.NewClientset(node, service("web", 1, corev1.ServiceTypeLoadBalancer, 80, ""))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, client, func(err error) { t.Error(err) }) }()

	api := client.CoreV1().Services("shop")
	for {
		got, err := api.Get(ctx, "web", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if points := got.Status.LoadBalancer.Ingress; len(points) == 1 && points[0].IP == nodeIP {
			break
		}
		// The fake doesn't end with the context.
		select {
		case <-ctx.Done():
			t.Fatalf("addresses: %v", got.Status.LoadBalancer.Ingress)
		case <-tick.C:
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
