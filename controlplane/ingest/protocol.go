// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// protocols by the words that Istio knows in appProtocol and in front of the
// first hyphen of a port's name. Databases are carried as TCP: the mesh has no
// codec of its own for them. HTTPS is TLS that the application speaks itself.
var protocols = map[string]model.Protocol{
	"http": model.HTTP, "http2": model.HTTP2, "grpc": model.GRPC,
	"tcp": model.TCP, "mongo": model.TCP, "mysql": model.TCP, "redis": model.TCP,
	"https": model.TLS, "tls": model.TLS,
}

// kubernetesProtocols are the values of appProtocol that Kubernetes defines.
var kubernetesProtocols = map[string]model.Protocol{
	"kubernetes.io/h2c": model.HTTP2,
	"kubernetes.io/ws":  model.HTTP,
	"kubernetes.io/wss": model.TLS,
}

// serverFirst are ports of protocols in which the server may speak first:
// sniffing would wait for a client that waits too.
var serverFirst = map[int32]bool{25: true, 53: true, 3306: true, 27017: true}

// protocolOf selects a port's protocol as Istio does: appProtocol, else the
// port's name, else the proxy sniffs. False when the port is no TCP port, or is
// declared to be UDP.
func protocolOf(p *corev1.ServicePort) (model.Protocol, bool) {
	if p.Protocol != "" && p.Protocol != corev1.ProtocolTCP {
		return model.Auto, false
	}
	word := p.Name
	if p.AppProtocol != nil {
		word = *p.AppProtocol
		if protocol, ok := kubernetesProtocols[word]; ok {
			return protocol, true
		}
	}
	if word = strings.ToLower(word); strings.HasPrefix(word, "grpc-web") {
		return model.GRPCWeb, true
	}
	word, _, _ = strings.Cut(word, "-")
	if word == "udp" {
		return model.Auto, false
	}
	if protocol, ok := protocols[word]; ok {
		return protocol, true
	}
	if serverFirst[p.Port] {
		return model.TCP, true
	}
	return model.Auto, true
}
