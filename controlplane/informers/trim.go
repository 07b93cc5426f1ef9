// SPDX-License-Identifier: Apache-2.0

package informers

import (
	security "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	k8snetworking "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/ingress"
)

// The trim functions make a small object of what the mesh reads. The large one
// is free to go, and a change in what is left out is no change: a node's
// heartbeat, a pod's conditions, a controller's annotation.

// identityOf keeps what tells an object from others, and its age.
func identityOf(o metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: o.Name, Namespace: o.Namespace, UID: o.UID,
		ResourceVersion: o.ResourceVersion, CreationTimestamp: o.CreationTimestamp,
	}
}

// only returns the entries of m that have one of these keys; nil when none has.
func only(m map[string]string, keys ...string) map[string]string {
	var kept map[string]string
	for _, k := range keys {
		if v, ok := m[k]; ok {
			if kept == nil {
				kept = map[string]string{}
			}
			kept[k] = v
		}
	}
	return kept
}

func trimService(o *corev1.Service) *corev1.Service {
	out := &corev1.Service{ObjectMeta: identityOf(o.ObjectMeta), Spec: o.Spec}
	out.Labels = o.Labels
	out.Annotations = only(o.Annotations, ingest.ServiceAnnotations...)
	return out
}

func trimIngress(o *k8snetworking.Ingress) *k8snetworking.Ingress {
	out := &k8snetworking.Ingress{ObjectMeta: identityOf(o.ObjectMeta), Spec: o.Spec}
	out.Generation = o.Generation
	out.Annotations = only(o.Annotations, ingress.ClassAnnotation)
	return out
}

func trimIngressClass(o *k8snetworking.IngressClass) *k8snetworking.IngressClass {
	return &k8snetworking.IngressClass{ObjectMeta: identityOf(o.ObjectMeta), Spec: o.Spec}
}

func trimEndpointSlice(o *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	out := &discoveryv1.EndpointSlice{
		ObjectMeta: identityOf(o.ObjectMeta), AddressType: o.AddressType, Ports: o.Ports,
		Endpoints: make([]discoveryv1.Endpoint, len(o.Endpoints)),
	}
	out.Labels = only(o.Labels, discoveryv1.LabelServiceName)
	for i, e := range o.Endpoints {
		// Hints are kube-proxy's.
		e.DeprecatedTopology, e.Hints = nil, nil
		out.Endpoints[i] = e
	}
	return out
}

func trimPod(o *corev1.Pod) *corev1.Pod {
	out := &corev1.Pod{ObjectMeta: identityOf(o.ObjectMeta)}
	out.Labels = o.Labels
	out.Annotations = only(o.Annotations, ingest.AnnotationProxyConfig)
	out.DeletionTimestamp = o.DeletionTimestamp
	out.Spec = corev1.PodSpec{
		ServiceAccountName: o.Spec.ServiceAccountName, NodeName: o.Spec.NodeName, HostNetwork: o.Spec.HostNetwork,
		Containers: proxies(o.Spec.Containers), InitContainers: proxies(o.Spec.InitContainers),
	}
	out.Status = corev1.PodStatus{
		Phase: phase(o.Status.Phase), PodIP: o.Status.PodIP, PodIPs: o.Status.PodIPs, Conditions: unready(o.Status.Conditions),
	}
	return out
}

// proxies keeps of a pod's containers the proxy, with what tells its role.
func proxies(all []corev1.Container) []corev1.Container {
	for _, c := range all {
		if c.Name == ingest.ProxyContainer {
			return []corev1.Container{{Name: c.Name, Args: c.Args}}
		}
	}
	return nil
}

// unready keeps of a pod's conditions that it isn't ready, without its times.
func unready(all []corev1.PodCondition) []corev1.PodCondition {
	for _, c := range all {
		if c.Type == corev1.PodReady && c.Status != corev1.ConditionTrue {
			return []corev1.PodCondition{{Type: c.Type, Status: c.Status}}
		}
	}
	return nil
}

// phase keeps only whether a pod has ended: from Pending to Running nothing
// changes for the mesh.
func phase(p corev1.PodPhase) corev1.PodPhase {
	if p == corev1.PodSucceeded || p == corev1.PodFailed {
		return p
	}
	return ""
}

func trimNode(o *corev1.Node) *corev1.Node {
	out := &corev1.Node{ObjectMeta: identityOf(o.ObjectMeta)}
	out.Labels = only(o.Labels, ingest.NodeLabels...)
	return out
}

func trimNamespace(o *corev1.Namespace) *corev1.Namespace {
	out := &corev1.Namespace{ObjectMeta: identityOf(o.ObjectMeta)}
	out.Labels = o.Labels
	out.Annotations = only(o.Annotations, ingest.NamespaceAnnotations...)
	return out
}

func trimConfigMap(o *corev1.ConfigMap) *corev1.ConfigMap {
	out := &corev1.ConfigMap{ObjectMeta: identityOf(o.ObjectMeta)}
	out.Data = only(o.Data, ingest.MeshConfigKey)
	return out
}

func trimPeerAuthentication(o *security.PeerAuthentication) *security.PeerAuthentication {
	out := &security.PeerAuthentication{ObjectMeta: identityOf(o.ObjectMeta)}
	out.Generation = o.Generation
	o.Spec.DeepCopyInto(&out.Spec)
	return out
}

func trimServiceExport(o *mcs.ServiceExport) *mcs.ServiceExport {
	return &mcs.ServiceExport{ObjectMeta: identityOf(o.ObjectMeta), Spec: o.Spec}
}

func trimMetadata(o *metav1.PartialObjectMetadata) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: o.TypeMeta, ObjectMeta: identityOf(o.ObjectMeta)}
}
