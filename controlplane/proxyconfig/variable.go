// SPDX-License-Identifier: Apache-2.0

package proxyconfig

import (
	"fmt"
	"regexp"
	"strings"
)

// maxVariable of a variable's value in bytes; Istio's definition has 2048 for those of a ProxyConfig.
const maxVariable = 8192

// variable is what Kubernetes takes as a name of a variable: a pod with another is refused.
var variable = regexp.MustCompile(`^[-._a-zA-Z][-._a-zA-Z0-9]{0,255}$`)

const (
	ofPod      = "it is the pod's own, and who the proxy is depends on it; remove it"
	ofIdentity = "whom the proxy trusts, and who gets its credentials, depends on it; it is set for the whole mesh, by the control plane's chart"
	ofTemplate = "injection sets it"
)

// reserved are the variables that are the injector's: who the proxy is, whom it
// trusts and what it is given depend on them.
var reserved = map[string]string{
	"POD_NAME": ofPod, "POD_NAMESPACE": ofPod, "SERVICE_ACCOUNT": ofPod, "INSTANCE_IP": ofPod, "INSTANCE_IPS": ofPod,
	"HOST_IP": ofPod, "NODE_NAME": ofPod,
	"ISTIO_META_NAME": ofPod, "ISTIO_META_NAMESPACE": ofPod, "ISTIO_META_SERVICE_ACCOUNT": ofPod, "ISTIO_META_NODE_NAME": ofPod,
	"ISTIO_META_INSTANCE_IPS": ofPod, "ISTIO_META_LABELS": ofPod, "ISTIO_META_ISTIO_VERSION": ofPod, "ISTIO_META_PROXY_CONFIG": ofPod,
	"TRUST_DOMAIN": ofIdentity, "CA_ADDR": ofIdentity, "ISTIO_META_CLUSTER_ID": ofIdentity,
	"DISCOVERY_ADDRESS":            "whom the proxy trusts depends on it; use discoveryAddress in meshConfig.defaultConfig or the pod's annotation",
	"ISTIO_META_MESH_ID":           ofTemplate + "; use global.meshID of the istiod chart, or meshId in meshConfig.defaultConfig",
	"ISTIO_META_NETWORK":           ofTemplate + "; use label topology.istio.io/network of the pod, or global.network of the istiod chart",
	"ISTIO_META_OWNER":             ofTemplate + " from the pod's controller; remove it",
	"ISTIO_META_WORKLOAD_NAME":     ofTemplate + " from the pod's controller; remove it",
	"ISTIO_CPU_LIMIT":              ofTemplate + " from the container's limits; use annotation sidecar.istio.io/proxyCPULimit, or concurrency",
	"ISTIO_MEMORY_LIMIT":           ofTemplate + " from the container's limits; use annotation sidecar.istio.io/proxyMemoryLimit",
	"ISTIO_KUBE_APP_PROBERS":       ofTemplate + " from the pod's probes; remove it",
	"ISTIO_PROMETHEUS_ANNOTATIONS": ofTemplate + " from the pod's annotations; use those",
	"PROXY_CONFIG":                 ofTemplate + "; use the fields of ProxyConfig",
	"PATH":                         "it is the image's; remove it",
}

// unknown are variables that Istio's agent or control plane knows, and ours don't.
var unknown = map[string]string{
	"BOOTSTRAP_XDS_AGENT":               "patches of the bootstrap always reach the agent; remove it",
	"PROXY_CONFIG_XDS_AGENT":            "a proxy's configuration is read when it starts; remove it",
	"CA_PROVIDER":                       "the CA is the control plane's; remove it",
	"CA_ROOT_CA":                        "the mesh's root is in ConfigMap istio-ca-root-cert; remove it",
	"XDS_ROOT_CA":                       "the mesh's root is in ConfigMap istio-ca-root-cert; remove it",
	"XDS_AUTH_PROVIDER":                 "the control plane is called with the workload's certificate; remove it",
	"FILE_MOUNTED_CERTS":                "certificates are the CA's; remove it",
	"PROV_CERT":                         "certificates are the CA's; remove it",
	"OUTPUT_CERTS":                      "keys don't leave the agent; remove it",
	"PKCS8_KEY":                         "keys don't leave the agent; remove it",
	"ECC_SIGNATURE_ALGORITHM":           "keys are ECDSA P-256 always; remove it",
	"ECC_CURVE":                         "keys are ECDSA P-256 always; remove it",
	"WORKLOAD_RSA_KEY_SIZE":             "keys are ECDSA P-256 always; remove it",
	"JWT_POLICY":                        "tokens are bound to the audience istio-ca always; remove it",
	"TOKEN_AUDIENCES":                   "tokens are bound to the audience istio-ca always; remove it",
	"SECRET_GRACE_PERIOD_RATIO":         "certificates are renewed at half of their life; remove it",
	"SECRET_GRACE_PERIOD_RATIO_JITTER":  "certificates are renewed at half of their life; remove it",
	"DISABLE_ENVOY":                     "the agent always runs Envoy; remove it",
	"ENVOY_STATUS_PORT":                 "it is port 15021; remove it",
	"ENVOY_PROMETHEUS_PORT":             "it is port 15090; remove it",
	"GRPC_XDS_BOOTSTRAP":                "the agent writes no bootstrap for gRPC applications; remove it",
	"WORKLOAD_IDENTITY_SOCKET_FILE":     "the identity is from the mesh's own CA; remove it",
	"ISTIO_META_CERT_SIGNER":            "certificates are the control plane's; remove it",
	"ISTIO_META_HTTP10":                 "HTTP/1.0 is not taken; use an EnvoyFilter",
	"ISTIO_META_IDLE_TIMEOUT":           "the idle timeout is Envoy's; use an EnvoyFilter, or connectionPool.http.idleTimeout of a DestinationRule",
	"ISTIO_META_REQUESTED_NETWORK_VIEW": "a proxy reaches all networks; remove it",
	"ISTIO_META_ENABLE_HBONE":           "there is no ambient mode here; remove it",
}

// Variable finds what is wrong with a variable of a proxy, or has no effect; nil
// when nothing is. The finding's field is the name. set is false for one that
// must not be set.
func Variable(name, value string) (f *Finding, set bool) {
	find := func(reason, format string, args ...any) *Finding {
		return &Finding{fmt.Sprintf("%.100s", name), reason, fmt.Sprintf(format, args...)}
	}
	why, held := reserved[name]
	not, foreign := unknown[name]
	switch {
	case !variable.MatchString(name):
		return find(Invalid, "%.100q is no name of a variable, a pod with it would not be taken; use letters, digits, - _ and .", name), false
	case len(value) > maxVariable || strings.ContainsRune(value, 0):
		return find(Invalid, "its value can't be set; use at most %d bytes without zero bytes", maxVariable), false
	case held:
		return find(NotSupported, "it can't be set here, and is left out: %s", why), false
	case strings.HasPrefix(name, "LD_"), strings.HasPrefix(name, "KUBERNETES_"):
		return find(NotSupported, "it can't be set here, and is left out: what the proxy loads, and where the API server is, are not for others to say; remove it"), false
	case foreign:
		return find(NotSupported, "Istio's proxies know it, these don't: %s", not), true
	}
	return nil, true
}
