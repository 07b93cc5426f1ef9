// SPDX-License-Identifier: Apache-2.0

package standardmetrics

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Service is what a cluster's metadata say of the service that it is of. One that is
// no object of Kubernetes has its host for a name, as in Istio.
func Service(svc *model.Service) *corev3.Metadata {
	name := svc.Name
	if svc.Origin.Kind == "ServiceEntry" || name == "" {
		name = string(svc.Hostname)
	}
	return described(string(svc.Hostname), name, svc.Namespace)
}

// Host is Service by nothing but a host.
func Host(s *model.Settings, host model.Hostname) *corev3.Metadata {
	if local, ok := strings.CutSuffix(string(host), ".svc."+s.DomainSuffix); ok {
		if name, namespace, ok := strings.Cut(local, "."); ok && !strings.Contains(namespace, ".") {
			return described(string(host), name, namespace)
		}
	}
	return described(string(host), string(host), "")
}

// Named is what a cluster, or a route without one, says that is no service's.
func Named(name string) *corev3.Metadata { return described("", name, "") }

func described(host, name, namespace string) *corev3.Metadata {
	values := map[string]string{}
	for key, value := range map[string]string{hostKey: host, nameKey: name, namespaceKey: namespace} {
		if value != "" {
			values[key] = value
		}
	}
	return envoy.Metadata(metadata, values)
}
