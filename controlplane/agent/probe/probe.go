// SPDX-License-Identifier: Apache-2.0

// Package probe answers the kubelet's probes for the application. The kubelet
// has no certificate of the mesh, and what it sends to the pod would be led
// into Envoy; so injection points its probes at the agent, which asks the
// application from inside the pod. Only probes that the pod's own spec has are
// ever sent.
package probe

import (
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Prober is one probe, or one life-cycle hook, of a container. Exactly one of
// the first three is set. Ports are numbers.
type Prober struct {
	HTTPGet        *corev1.HTTPGetAction   `json:"httpGet,omitempty"`
	TCPSocket      *corev1.TCPSocketAction `json:"tcpSocket,omitempty"`
	GRPC           *corev1.GRPCAction      `json:"grpc,omitempty"`
	TimeoutSeconds int32                   `json:"timeoutSeconds,omitempty"`
}

// Probers are probes by the path that the kubelet asks for.
type Probers map[string]*Prober

// Variable is the environment variable that carries Probers as JSON.
const Variable = "ISTIO_KUBE_APP_PROBERS"

var paths = regexp.MustCompile(`^/app-(health/[^/]+/(livez|readyz|startupz)|lifecycle/[^/]+/(poststartz|prestopz))$`)

const lifecyclePrefix = "/app-lifecycle/"

// HealthPath is where the agent answers a probe; kind is livez, readyz or startupz.
func HealthPath(container, kind string) string { return "/app-health/" + container + "/" + kind }

// LifecyclePath is where the agent answers a hook; kind is poststartz or prestopz.
func LifecyclePath(container, kind string) string { return lifecyclePrefix + container + "/" + kind }

// Parse reads Probers and checks that each can be sent.
func Parse(text []byte) (Probers, error) {
	if len(text) == 0 {
		return nil, nil
	}
	var out Probers
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, fmt.Errorf("read the application's probes: %w", err)
	}
	for path, p := range out {
		if !paths.MatchString(path) {
			return nil, fmt.Errorf("%q is not the path of a probe", path)
		}
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("probe %q: %w", path, err)
		}
	}
	return out, nil
}

func (p *Prober) check() error {
	if p == nil {
		return fmt.Errorf("is empty")
	}
	var port intstr.IntOrString
	kinds := 0
	if p.HTTPGet != nil {
		port, kinds = p.HTTPGet.Port, kinds+1
	}
	if p.TCPSocket != nil {
		port, kinds = p.TCPSocket.Port, kinds+1
	}
	if p.GRPC != nil {
		port, kinds = intstr.FromInt32(p.GRPC.Port), kinds+1
	}
	if kinds != 1 {
		return fmt.Errorf("must have exactly one of httpGet, tcpSocket and grpc")
	}
	if port.Type != intstr.Int || port.IntVal < 1 || port.IntVal > 65535 {
		return fmt.Errorf("port %q is not a number from 1 to 65535", port.String())
	}
	return nil
}

func (p *Prober) timeout() time.Duration {
	// The kubelet's own default.
	return time.Duration(max(p.TimeoutSeconds, 1)) * time.Second
}
