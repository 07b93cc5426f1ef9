// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// label sets the labels by which others know that the pod takes mutual TLS and
// what it is called. One that the pod's author set stands.
func label(pod *corev1.Pod, name, revision string) {
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	for key, value := range map[string]string{
		"security.istio.io/tlsMode":           "istio",
		"service.istio.io/canonical-name":     labelValue(name),
		"service.istio.io/canonical-revision": labelValue(revision),
	} {
		if _, ok := pod.Labels[key]; !ok && value != "" {
			pod.Labels[key] = value
		}
	}
}

// labelValue shortens a name to what a label may hold.
func labelValue(s string) string {
	const most = 63
	if len(s) <= most {
		return s
	}
	s = s[:most]
	for s != "" && !alphanumeric(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func alphanumeric(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}

// status is the annotation that tells what injection added.
type status struct {
	InitContainers   []string `json:"initContainers"`
	Containers       []string `json:"containers"`
	Volumes          []string `json:"volumes"`
	ImagePullSecrets []string `json:"imagePullSecrets"`
	Revision         string   `json:"revision"`
}

// annotate adds the configured annotations and the status.
func annotate(merged, pod *corev1.Pod, c Config) error {
	if merged.Annotations == nil {
		merged.Annotations = map[string]string{}
	}
	for _, key := range slices.Sorted(maps.Keys(c.Annotations)) {
		if _, ok := merged.Annotations[key]; !ok {
			merged.Annotations[key] = c.Annotations[key]
		}
	}
	container := func(c corev1.Container) string { return c.Name }
	body, err := json.Marshal(status{
		InitContainers:   added(pod.Spec.InitContainers, merged.Spec.InitContainers, container),
		Containers:       added(pod.Spec.Containers, merged.Spec.Containers, container),
		Volumes:          added(pod.Spec.Volumes, merged.Spec.Volumes, func(v corev1.Volume) string { return v.Name }),
		ImagePullSecrets: added(pod.Spec.ImagePullSecrets, merged.Spec.ImagePullSecrets, func(r corev1.LocalObjectReference) string { return r.Name }),
		Revision:         c.Revision,
	})
	if err != nil {
		return fmt.Errorf("write the status of the injection: %w", err)
	}
	merged.Annotations[statusKey] = string(body)
	return nil
}

func added[T any](before, after []T, name func(T) string) []string {
	var out []string
	for _, a := range after {
		if !slices.ContainsFunc(before, func(b T) bool { return name(a) == name(b) }) {
			out = append(out, name(a))
		}
	}
	return out
}
