// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/isthmesh/isthmesh/controlplane/agent/probe"
)

const (
	rewriteKey = "sidecar.istio.io/rewriteAppHTTPProbers"
	// agentPort is where the agent answers probes and metrics.
	agentPort = 15020
)

// rewriteWanted is true unless the pod says no: without it, the kubelet's
// probes would be led into Envoy and refused by STRICT.
func rewriteWanted(pod *corev1.Pod, c Config) bool {
	said, ok := pod.Annotations[rewriteKey]
	if !ok {
		webhook, _ := c.Values["sidecarInjectorWebhook"].(map[string]any)
		configured, isSet := webhook["rewriteAppHTTPProbe"].(bool)
		return !isSet || configured
	}
	wanted, err := strconv.ParseBool(said)
	return err == nil && wanted
}

// rewriteProbes points the kubelet's probes and hooks at the agent, and gives
// the agent the originals. Those of the proxy itself, those by command and
// those that are meant for another host stay.
func rewriteProbes(pod *corev1.Pod, proxy *corev1.Container) error {
	probers := probe.Probers{}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			c := &list[i]
			if c.Name == proxyContainer {
				continue
			}
			for kind, p := range map[string]*corev1.Probe{"livez": c.LivenessProbe, "readyz": c.ReadinessProbe, "startupz": c.StartupProbe} {
				if p == nil {
					continue
				}
				path := probe.HealthPath(c.Name, kind)
				if prober := take(c, p.HTTPGet, p.TCPSocket, p.GRPC, p.TimeoutSeconds); prober != nil {
					probers[path] = prober
					p.ProbeHandler = corev1.ProbeHandler{HTTPGet: toAgent(path)}
				}
			}
			if c.Lifecycle == nil {
				continue
			}
			for kind, h := range map[string]*corev1.LifecycleHandler{"poststartz": c.Lifecycle.PostStart, "prestopz": c.Lifecycle.PreStop} {
				if h == nil {
					continue
				}
				path := probe.LifecyclePath(c.Name, kind)
				if prober := take(c, h.HTTPGet, h.TCPSocket, nil, 0); prober != nil {
					probers[path] = prober
					*h = corev1.LifecycleHandler{HTTPGet: toAgent(path)}
				}
			}
		}
	}
	if len(probers) == 0 {
		return nil
	}
	body, err := json.Marshal(probers)
	if err != nil {
		return fmt.Errorf("write the application's probes: %w", err)
	}
	setVariable(proxy, probe.Variable, string(body))
	return nil
}

// take is a probe as the agent sends it; nil for one that it doesn't.
func take(c *corev1.Container, get *corev1.HTTPGetAction, tcp *corev1.TCPSocketAction, grpc *corev1.GRPCAction, timeout int32) *probe.Prober {
	out := &probe.Prober{TimeoutSeconds: timeout}
	switch {
	case get != nil && get.Host == "":
		port, ok := number(c, get.Port)
		if !ok || port == agentPort {
			return nil
		}
		out.HTTPGet = get.DeepCopy()
		out.HTTPGet.Port = intstr.FromInt32(port)
	case tcp != nil && tcp.Host == "":
		port, ok := number(c, tcp.Port)
		if !ok {
			return nil
		}
		out.TCPSocket = &corev1.TCPSocketAction{Port: intstr.FromInt32(port)}
	case grpc != nil:
		out.GRPC = grpc.DeepCopy()
	default:
		return nil
	}
	return out
}

// number resolves the name of a port. A name that the container doesn't have
// is left to the kubelet, which says so.
func number(c *corev1.Container, port intstr.IntOrString) (int32, bool) {
	if port.Type == intstr.Int {
		return port.IntVal, port.IntVal > 0 && port.IntVal < 1<<16
	}
	i := slices.IndexFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == port.StrVal })
	if i < 0 {
		return 0, false
	}
	return c.Ports[i].ContainerPort, true
}

func toAgent(path string) *corev1.HTTPGetAction {
	return &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(agentPort)}
}

// setVariable sets an environment variable of a container.
func setVariable(c *corev1.Container, name, value string) {
	i := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == name })
	if i < 0 {
		c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: value})
		return
	}
	c.Env[i] = corev1.EnvVar{Name: name, Value: value}
}
