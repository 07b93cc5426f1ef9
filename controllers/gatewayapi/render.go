// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controllers/install"
	"github.com/isthmesh/isthmesh/controlplane/ingest/gatewayapi"
)

// managedLabel marks what this controller makes, with Istio's words.
const (
	managedLabel = "gateway.istio.io/managed"
	managedValue = "istio.io-gateway-controller"
	classLabel   = "gateway.networking.k8s.io/gateway-class-name"
)

// Platform is what the proxies of all Gateways share: values of the gateway
// chart, below those of one Gateway.
type Platform struct {
	// Values such as global, revision and trustDomain.
	Values map[string]any
	// KubeVersion of the cluster, such as "v1.36.3".
	KubeVersion string
}

// Render makes the objects of a Gateway's proxies out of the gateway chart. They
// belong to the Gateway, and go when it goes.
func Render(d *gatewayapi.Deployment, p Platform) ([]*unstructured.Unstructured, error) {
	name := objectName(d)
	objects, err := install.Render(install.Gateway, values(d, p, name), name, d.Namespace, p.KubeVersion)
	if err != nil {
		return nil, err
	}
	out := make([]*unstructured.Unstructured, 0, len(objects))
	for _, shared := range objects {
		o := shared.DeepCopy()
		label(o, d)
		o.SetOwnerReferences(owner(d))
		if o.GetKind() == "Deployment" {
			if err := labelPods(o, d); err != nil {
				return nil, err
			}
		}
		out = append(out, o)
	}
	return out, nil
}

// values of the chart for one Gateway. Everything of the Gateway's goes in as
// data, which the chart quotes.
func values(d *gatewayapi.Deployment, p Platform, name string) map[string]any {
	v := map[string]any{}
	for key, value := range p.Values {
		v[key] = value
	}
	ports := []any{}
	for _, port := range d.Ports {
		ports = append(ports, map[string]any{"name": port.Name, "port": int64(port.Number), "targetPort": int64(port.Number), "protocol": port.Protocol})
	}
	service := map[string]any{"type": d.ServiceType, "ports": ports}
	if len(d.Addresses) > 0 && d.ServiceType == "LoadBalancer" {
		service["loadBalancerIP"] = d.Addresses[0]
	}
	v["name"] = name
	v["service"] = service
	v["labels"] = safe(d.Labels)
	v["annotations"] = safe(d.Annotations)
	v["podAnnotations"] = safe(d.Annotations)
	v["serviceAccount"] = map[string]any{"annotations": safe(d.Annotations)}
	return v
}

// gatewayLabels tell whose an object is.
func gatewayLabels(d *gatewayapi.Deployment) map[string]string {
	return map[string]string{
		gateway.GatewayNameLabelKey: gatewayapi.LabelValue(d.Gateway),
		classLabel:                  gatewayapi.LabelValue(d.Class),
		managedLabel:                managedValue,
	}
}

func label(o *unstructured.Unstructured, d *gatewayapi.Deployment) {
	labels := o.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	for k, v := range gatewayLabels(d) {
		labels[k] = v
	}
	o.SetLabels(labels)
}

// labelPods, and leave the number of replicas to whoever scales them.
func labelPods(o *unstructured.Unstructured, d *gatewayapi.Deployment) error {
	unstructured.RemoveNestedField(o.Object, "spec", "replicas")
	for k, v := range gatewayLabels(d) {
		if err := unstructured.SetNestedField(o.Object, v, "spec", "template", "metadata", "labels", k); err != nil {
			return fmt.Errorf("label the pods of Gateway %s/%s: %w", d.Namespace, d.Gateway, err)
		}
	}
	return nil
}

func owner(d *gatewayapi.Deployment) []ownerReference {
	yes := true
	return []ownerReference{{APIVersion: gateway.GroupVersion.String(), Kind: "Gateway", Name: d.Gateway, UID: uid(d.UID), Controller: &yes}}
}
