// SPDX-License-Identifier: Apache-2.0

package meshmember

import (
	"cmp"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/install"
)

// gatewayName is the release, Deployment and Service of the east-west gateway.
const gatewayName = "istio-eastwestgateway"

// What a MeshFederation's spec.eastWestGateway says when it says nothing.
const (
	defaultReplicas int32 = 2
	defaultPort     int32 = 15443
)

// controlPlaneName is the Deployment of the control plane.
const controlPlaneName = "istiod"

// Images says from where members get their images when the federation's values don't.
type Images struct{ Hub, Tag string }

// place is what makes one member differ from another.
type place struct {
	member, meshID, network, trustDomain string
	locality                             v1alpha1.Locality
	checks                               v1alpha1.GatewayHealthCheck
}

// object is shorthand for values.
type object = map[string]any

// controlPlaneValues lays what the federation asks for over the hub's
// defaults, and over both what the federation rests on.
func controlPlaneValues(p place, images Images, c v1alpha1.Component) (object, error) {
	asked, err := askedValues(c.Values)
	if err != nil {
		return nil, err
	}
	defaults := object{"global": object{"hub": images.Hub, "tag": images.Tag}}
	return install.MergeValues(defaults, asked, controlPlaneFixed(p)), nil
}

// controlPlaneFixed is what the federation rests on.
func controlPlaneFixed(p place) object {
	return object{
		"global": object{
			"istioNamespace": v1alpha1.SystemNamespace,
			"meshID":         p.meshID,
			"network":        p.network,
			"multiCluster":   object{"clusterName": p.member},
			"locality":       object{"region": p.locality.Region, "zone": p.locality.Zone},
		},
		"meshConfig": object{"trustDomain": p.trustDomain},
		"federation": object{"enabled": true, "gatewayChecks": checkValues(p.checks)},
		"revision":   "",
	}
}

// checkValues of the checks of gateways; what isn't said is the chart's.
func checkValues(c v1alpha1.GatewayHealthCheck) object {
	out := object{"enabled": !c.Disabled}
	if c.Interval != nil {
		out["interval"] = c.Interval.Duration.String()
	}
	if c.Timeout != nil {
		out["timeout"] = c.Timeout.Duration.String()
	}
	if c.UnhealthyThreshold > 0 {
		out["unhealthyThreshold"] = int64(c.UnhealthyThreshold)
	}
	if c.HealthyThreshold > 0 {
		out["healthyThreshold"] = int64(c.HealthyThreshold)
	}
	return out
}

// gatewayValues does the same for the east-west gateway.
func gatewayValues(p place, images Images, g v1alpha1.EastWestGateway) (object, error) {
	asked, err := askedValues(g.Values)
	if err != nil {
		return nil, err
	}
	defaults := object{
		"global":       object{"hub": images.Hub, "tag": images.Tag},
		"replicaCount": int64(cmp.Or(g.Replicas, defaultReplicas)),
	}
	return install.MergeValues(defaults, asked, gatewayFixed(p, g)), nil
}

// gatewayFixed is what the federation rests on.
func gatewayFixed(p place, g v1alpha1.EastWestGateway) object {
	return object{
		"global": object{
			"istioNamespace": v1alpha1.SystemNamespace,
			"meshID":         p.meshID,
			"network":        p.network,
			"multiCluster":   object{"clusterName": p.member},
		},
		"name":           gatewayName,
		"networkGateway": p.network,
		"trustDomain":    p.trustDomain,
		"service":        object{"type": cmp.Or(g.ServiceType, "LoadBalancer"), "networkGatewayPort": int64(cmp.Or(g.Port, defaultPort))},
		"revision":       "",
	}
}

func askedValues(raw *apiextensionsv1.JSON) (object, error) {
	if raw == nil {
		return nil, nil
	}
	return install.ParseValues(raw.Raw)
}

// rendered is what a member's charts come to: all objects, or per chart why not.
type rendered struct {
	objects               []*unstructured.Unstructured
	controlPlane, gateway *Problem
}

// render makes all objects of a member.
func render(p place, images Images, federation *v1alpha1.MeshFederation, kubeVersion string) rendered {
	out := rendered{}
	add := func(chart, release string, values object, err error, field string) *Problem {
		var refused *install.ValuesError
		if err == nil {
			var objects []*unstructured.Unstructured
			objects, err = install.Render(chart, values, release, v1alpha1.SystemNamespace, kubeVersion)
			out.objects = append(out.objects, objects...)
			if err != nil && !errors.As(err, &refused) {
				return &Problem{v1alpha1.ReasonRenderFailed, err.Error()}
			}
		}
		if err != nil {
			return &Problem{v1alpha1.ReasonValuesInvalid, fmt.Sprintf("%s of MeshFederation %q: %v", field, federation.Name, err)}
		}
		return nil
	}
	baseValues := object{"global": object{"istioNamespace": v1alpha1.SystemNamespace}}
	out.controlPlane = add(install.Base, "istio-base", baseValues, nil, "")
	values, err := controlPlaneValues(p, images, federation.Spec.ControlPlane)
	if problem := add(install.Istiod, controlPlaneName, values, err, "spec.controlPlane.values"); problem != nil {
		out.controlPlane = problem
	}
	values, err = gatewayValues(p, images, federation.Spec.EastWestGateway)
	out.gateway = add(install.Gateway, gatewayName, values, err, "spec.eastWestGateway.values")
	return out
}
