// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// classes of ours that are accepted, and the statuses of all of ours.
func (x *index) classes() (accepted map[string]bool, statuses []*ClassStatus) {
	accepted = map[string]bool{}
	for _, o := range x.in.GatewayClasses {
		if o.Spec.ControllerName != ControllerName {
			continue
		}
		var f fault
		if r := o.Spec.ParametersRef; r != nil {
			f = faultf(gateway.GatewayClassReasonInvalidParameters,
				"spec.parametersRef: %s %q is not a kind of parameters that this controller knows: remove it.", qualified(string(r.Group), string(r.Kind)), r.Name)
		}
		accepted[o.Name] = f.none()
		s := &ClassStatus{Object: objectOf(kindClass, o), SupportedFeatures: supportedFeatures()}
		s.Conditions = []metav1.Condition{good(gateway.GatewayClassConditionStatusAccepted, gateway.GatewayClassReasonAccepted, f, o.Generation)}
		statuses = append(statuses, s)
	}
	slices.SortFunc(statuses, func(a, b *ClassStatus) int { return compareObjects(a.Object, b.Object) })
	return accepted, statuses
}

// features that work, by the names of the Gateway API's conformance suite.
const features = `
BackendTLSPolicy BackendTLSPolicySANValidation
GRPCRoute GRPCRouteNamedRouteRule
Gateway GatewayAddressEmpty GatewayBackendClientCertificate GatewayFrontendClientCertificateValidation
GatewayFrontendClientCertificateValidationInsecureFallback GatewayHTTPListenerIsolation
GatewayHTTPSListenerDetectMisdirectedRequests GatewayInfrastructurePropagation GatewayPort8080 GatewayStaticAddresses
HTTPRoute HTTPRoute303RedirectStatusCode HTTPRoute307RedirectStatusCode HTTPRoute308RedirectStatusCode
HTTPRouteBackendProtocolH2C HTTPRouteBackendProtocolWebSocket HTTPRouteBackendRequestHeaderModification
HTTPRouteBackendTimeout HTTPRouteCORS HTTPRouteDestinationPortMatching HTTPRouteHostRewrite HTTPRouteMethodMatching
HTTPRouteNamedRouteRule HTTPRouteParentRefPort HTTPRoutePathRedirect HTTPRoutePathRewrite HTTPRoutePortRedirect
HTTPRouteQueryParamMatching HTTPRouteRequestMirror HTTPRouteRequestMultipleMirrors HTTPRouteRequestPercentageMirror
HTTPRouteRequestTimeout HTTPRouteResponseHeaderModification HTTPRouteRetry HTTPRouteRetryBackendTimeout
HTTPRouteRetryConnectionError HTTPRouteSchemeRedirect
ListenerSet
Mesh MeshClusterIPMatching MeshConsumerRoute MeshHTTPRouteBackendRequestHeaderModification MeshHTTPRouteNamedRouteRule
MeshHTTPRouteQueryParamMatching MeshHTTPRouteRedirectPath MeshHTTPRouteRedirectPort MeshHTTPRouteRewritePath
MeshHTTPRouteSchemeRedirect
ReferenceGrant TCPRoute TLSRoute TLSRouteModeMixed TLSRouteModeTerminate UDPRoute`

// supportedFeatures in alphabetical order, as the API wants them.
func supportedFeatures() []gateway.SupportedFeature {
	names := strings.Fields(features)
	slices.Sort(names)
	all := make([]gateway.SupportedFeature, 0, len(names))
	for _, n := range names {
		all = append(all, gateway.SupportedFeature{Name: gateway.FeatureName(n)})
	}
	return all
}
