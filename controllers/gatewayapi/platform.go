// SPDX-License-Identifier: Apache-2.0

package gatewayapi

// shared are the values of the istiod chart that the gateway chart has too, and
// that hold for all proxies.
var shared = map[string][]string{
	"":             {"hub", "tag", "imagePullPolicy", "imagePullSecrets", "istioNamespace", "meshID", "network"},
	"multiCluster": {"clusterName"},
	"proxy":        {"clusterDomain", "logLevel"},
}

// PlatformOf takes what proxies share out of the values of the istiod chart, as
// the injector's ConfigMap has them.
func PlatformOf(values map[string]any, trustDomain, kubeVersion string) Platform {
	from, _ := values["global"].(map[string]any)
	global := pick(from, shared[""])
	for _, group := range []string{"multiCluster", "proxy"} {
		inner, _ := from[group].(map[string]any)
		if picked := pick(inner, shared[group]); len(picked) > 0 {
			global[group] = picked
		}
	}
	out := map[string]any{"global": global, "trustDomain": trustDomain}
	if revision, _ := values["revision"].(string); revision != "" {
		out["revision"] = revision
	}
	return Platform{Values: out, KubeVersion: kubeVersion}
}

func pick(from map[string]any, keys []string) map[string]any {
	out := map[string]any{}
	for _, k := range keys {
		if v, ok := from[k]; ok {
			out[k] = v
		}
	}
	return out
}
