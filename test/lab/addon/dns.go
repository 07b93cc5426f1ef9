// SPDX-License-Identifier: Apache-2.0

// Package addon is what runs inside every lab cluster: the cluster DNS. It
// comes when the API server is ready, and tells when the cluster is.
package addon

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
)

const (
	namespace = "kube-system"
	selector  = "k8s-app=kube-dns"
)

//go:embed coredns.yaml
var manifest string

// objects returns the DNS's objects for one cluster.
func objects(image string, address netip.Addr) ([]*unstructured.Unstructured, error) {
	text := strings.NewReplacer("image: IMAGE", "image: "+image, "clusterIP: ADDRESS", "clusterIP: "+address.String()).Replace(manifest)
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(text)), 4096)
	var found []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		switch err := decoder.Decode(object); {
		case errors.Is(err, io.EOF):
			return found, nil
		case err != nil:
			return nil, fmt.Errorf("coredns.yaml: %w", err)
		}
		found = append(found, object)
	}
}

// CreateDNS creates those of the DNS's objects that do not exist. Objects that
// exist are left as they are: users may have changed them.
func CreateDNS(ctx context.Context, client dynamic.Interface, image string, address netip.Addr) error {
	wanted, err := objects(image, address)
	if err != nil {
		return err
	}
	for _, object := range wanted {
		resource, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
		var api dynamic.ResourceInterface = client.Resource(resource)
		if object.GetNamespace() != "" {
			api = client.Resource(resource).Namespace(object.GetNamespace())
		}
		// Creating it again is no way to ask: the Service's address is taken,
		// which is another error.
		_, err := api.Get(ctx, object.GetName(), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			_, err = api.Create(ctx, object, metav1.CreateOptions{})
		}
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}

// NodeReady returns an error that says why the node is not ready, or nil. What
// was reported before the given time, which is when the node was switched on,
// says nothing.
func NodeReady(ctx context.Context, client kubernetes.Interface, name string, since time.Time) error {
	node, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		switch {
		case condition.Type != corev1.NodeReady:
		case before(condition.LastHeartbeatTime, since):
			return fmt.Errorf("node %s has not reported since it was switched on", name)
		case condition.Status != corev1.ConditionTrue:
			return fmt.Errorf("node %s is not ready: %s", name, condition.Message)
		default:
			return nil
		}
	}
	return fmt.Errorf("node %s has no condition Ready", name)
}

// DNSAvailable returns an error if no pod of the DNS is ready that was started
// after the given time.
func DNSAvailable(ctx context.Context, client kubernetes.Interface, since time.Time) error {
	pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return err
	}
	for _, pod := range pods.Items {
		for _, container := range pod.Status.ContainerStatuses {
			running := container.State.Running
			if container.Ready && running != nil && !before(running.StartedAt, since) {
				return nil
			}
		}
	}
	return fmt.Errorf("deployment coredns has no ready pod (it has %d)", len(pods.Items))
}

// before compares with a time of the API, which has whole seconds.
func before(t metav1.Time, since time.Time) bool {
	return t.Time.Before(since.Truncate(time.Second))
}
