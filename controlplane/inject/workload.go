// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Workload is what a pod is an instance of.
type Workload struct{ APIVersion, Kind, Name string }

// scheduled is how a CronJob names its Jobs: its own name and a time.
var scheduled = regexp.MustCompile(`^(.+)-\d{8,10}$`)

// WorkloadOf finds the workload by the pod's controller: the Deployment behind
// a ReplicaSet and the CronJob behind a Job, by how those name what they make.
func WorkloadOf(pod *corev1.Pod) Workload {
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		name := pod.Name
		if name == "" {
			name = strings.TrimSuffix(pod.GenerateName, "-")
		}
		return Workload{APIVersion: "v1", Kind: "Pod", Name: name}
	}
	w := Workload{APIVersion: owner.APIVersion, Kind: owner.Kind, Name: owner.Name}
	switch owner.Kind {
	case "ReplicaSet":
		if hash := pod.Labels["pod-template-hash"]; hash != "" {
			if name, ok := strings.CutSuffix(owner.Name, "-"+hash); ok {
				w.Kind, w.Name = "Deployment", name
			}
		}
	case "Job":
		if m := scheduled.FindStringSubmatch(owner.Name); m != nil {
			w.Kind, w.Name = "CronJob", m[1]
		}
	}
	return w
}

// Canonical are the name and the revision that telemetry knows a workload by.
func Canonical(labels map[string]string, w Workload) (name, revision string) {
	return first(labels["service.istio.io/canonical-name"], labels["app.kubernetes.io/name"], labels["app"], w.Name),
		first(labels["service.istio.io/canonical-revision"], labels["app.kubernetes.io/version"], labels["version"], "latest")
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
