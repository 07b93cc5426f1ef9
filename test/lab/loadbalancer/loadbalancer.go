// SPDX-License-Identifier: Apache-2.0

// Package loadbalancer stands in for a cloud: it gives every Service of type
// LoadBalancer the address of the cluster's node, or one of its own where its
// port is taken there or it asks for one. kube-proxy does the rest. It runs as
// one process per cluster, which node starts (and `lab up` itself for a cluster
// of kind).
package loadbalancer

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// retry is the longest time between two looks at all Services.
const retry = 2 * time.Second

// Run keeps the addresses of a cluster's Services right until the context
// ends. What cannot be written is reported and tried again.
func Run(ctx context.Context, client kubernetes.Interface, report func(error)) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	services := factory.Core().V1().Services()
	nodes := factory.Core().V1().Nodes()
	changed := make(chan struct{}, 1)
	notify := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { notify() },
		UpdateFunc: func(any, any) { notify() },
		DeleteFunc: func(any) { notify() },
	}
	for _, informer := range []cache.SharedIndexInformer{services.Informer(), nodes.Informer()} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())

	tick := time.NewTicker(retry)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-tick.C:
		}
		all, err := services.Lister().List(labels.Everything())
		if err != nil {
			return err
		}
		hosts, err := nodes.Lister().List(labels.Everything())
		if err != nil {
			return err
		}
		for _, update := range Assign(all, addresses(hosts)) {
			_, err := client.CoreV1().Services(update.Namespace).UpdateStatus(ctx, update, metav1.UpdateOptions{})
			if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
				report(fmt.Errorf("service %s/%s: %w", update.Namespace, update.Name, err))
			}
		}
	}
}

// addresses returns the internal addresses of the nodes, sorted.
func addresses(nodes []*corev1.Node) []string {
	var found []string
	for _, node := range nodes {
		for _, address := range node.Status.Addresses {
			if address.Type == corev1.NodeInternalIP {
				found = append(found, address.Address)
			}
		}
	}
	slices.Sort(found)
	return found
}

// Assign returns the Services whose status has to be written. Services of type
// LoadBalancer share the nodes' addresses as long as their ports differ. One
// whose port an older Service has taken gets an address of its own, if there are
// such, as does one that asks for it; one that asks for an address that can't be
// had gets none, as it would from a cloud. A Service of another type has none.
func Assign(services []*corev1.Service, addresses []string) []*corev1.Service {
	ordered := slices.SortedFunc(slices.Values(services), func(a, b *corev1.Service) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return compareNames(a, b)
	})
	p := newPool(addresses)
	var updates []*corev1.Service
	for _, service := range ordered {
		var wanted []corev1.LoadBalancerIngress
		if ours(service) {
			wanted = ingress(p.claim(service))
		}
		if !equality.Semantic.DeepEqual(service.Status.LoadBalancer.Ingress, wanted) {
			update := service.DeepCopy()
			update.Status.LoadBalancer.Ingress = wanted
			updates = append(updates, update)
		}
	}
	return updates
}

func compareNames(a, b *corev1.Service) int {
	return slices.Compare([]string{a.Namespace, a.Name}, []string{b.Namespace, b.Name})
}

func ours(service *corev1.Service) bool {
	return service.Spec.Type == corev1.ServiceTypeLoadBalancer && service.Spec.LoadBalancerClass == nil && service.DeletionTimestamp == nil
}

func ingress(addresses []string) []corev1.LoadBalancerIngress {
	vip := corev1.LoadBalancerIPModeVIP
	var points []corev1.LoadBalancerIngress
	for _, address := range addresses {
		points = append(points, corev1.LoadBalancerIngress{IP: address, IPMode: &vip})
	}
	return points
}
