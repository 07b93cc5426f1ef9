// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	meshv1alpha1 "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"

	"github.com/isthmesh/isthmesh/controlplane/proxyconfig"
)

const (
	proxyConfigVariable = "PROXY_CONFIG"
	discoveryVariable   = "DISCOVERY_ADDRESS"
)

// gatewayIn finds the proxy of a pod that is a whole gateway without injection, as
// the gateway chart makes it; nil when it is no such pod, or another revision's.
func gatewayIn(pod *corev1.Pod, c Config) *corev1.Container {
	if pod.Labels[injectKey] != "false" || pod.Labels[revisionKey] != c.Revision {
		return nil
	}
	for i := range pod.Spec.Containers {
		at := &pod.Spec.Containers[i]
		if at.Name == proxyContainer && len(at.Args) >= 2 && at.Args[0] == "proxy" && at.Args[1] == "router" {
			return at
		}
	}
	return nil
}

// configure gives a gateway that is not injected what the mesh's defaultConfig,
// ProxyConfigs and its annotation say of its proxy. What the pod's author set in
// the container stands.
func configure(pod *corev1.Pod, namespace string, c Config) (Result, error) {
	config, warnings, err := proxyConfig(c, pod.ObjectMeta, namespace, proxyconfig.Gateway)
	if err != nil {
		return Result{}, err
	}
	out := pod.DeepCopy()
	at := gatewayIn(out, c)
	if !proto.Equal(config, &meshv1alpha1.ProxyConfig{}) {
		text, err := protoToJSON(config)
		if err != nil {
			return Result{}, fmt.Errorf("write the proxy configuration: %w", err)
		}
		if addVariable(at, proxyConfigVariable, text) {
			if to := config.GetDiscoveryAddress(); to != "" {
				setVariable(at, discoveryVariable, to)
			}
			for _, name := range slices.Sorted(maps.Keys(config.GetProxyMetadata())) {
				addVariable(at, name, config.GetProxyMetadata()[name])
			}
			var found *proxyconfig.Finding
			if at.Image, found = retag(at.Image, config.GetImage().GetImageType(), c); found != nil {
				warnings = append(warnings, "image of the proxy: "+found.Message)
			}
		}
	}
	if reflect.DeepEqual(pod, out) {
		return Result{Pod: pod, Skipped: "it is a gateway by itself, and nothing is configured for it", Warnings: warnings}, nil
	}
	return Result{Pod: out, Warnings: warnings}, nil
}

// addVariable unless there is one of the name.
func addVariable(to *corev1.Container, name, value string) bool {
	if slices.ContainsFunc(to.Env, func(e corev1.EnvVar) bool { return e.Name == name }) {
		return false
	}
	to.Env = append(to.Env, corev1.EnvVar{Name: name, Value: value})
	return true
}

// retag an image to a type of images. One that is named by its digest, or without
// tag, has no types.
func retag(image, kind string, c Config) (string, *proxyconfig.Finding) {
	colon := strings.LastIndexByte(image, ':')
	if colon < strings.LastIndexByte(image, '/') || strings.Contains(image, "@") || kind == "" {
		return image, nil
	}
	tag, found := proxyconfig.Image(image[colon+1:], kind, c.ImageTypes())
	return image[:colon+1] + tag, found
}
