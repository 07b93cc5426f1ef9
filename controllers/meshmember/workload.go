// SPDX-License-Identifier: Apache-2.0

package meshmember

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
)

// findComponent tells whether a Deployment is up, and if not, why.
func findComponent(ctx context.Context, c client.Client, name string) (*Component, error) {
	key := client.ObjectKey{Namespace: v1alpha1.SystemNamespace, Name: name}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"})
	if err := c.Get(ctx, key, live); err != nil {
		return nil, fmt.Errorf("read Deployment %s: %w", key, err)
	}
	var d appsv1.Deployment
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(live.Object, &d); err != nil {
		return nil, fmt.Errorf("read Deployment %s: %w", key, err)
	}
	result, err := status.Compute(live)
	if err != nil {
		return nil, fmt.Errorf("read status of Deployment %s: %w", key, err)
	}
	if result.Status == status.CurrentStatus {
		return &Component{}, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("selector of Deployment %s: %w", key, err)
	}
	var pods corev1.PodList
	if err := c.List(ctx, &pods, client.InNamespace(key.Namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, fmt.Errorf("list Pods of Deployment %s: %w", key, err)
	}
	return notUp(&d, pods.Items, result.Message), nil
}

// notUp says why a Deployment isn't up: what its pods suffer from, else what it
// waits for. The names of pods stay out, so that a message doesn't change with them.
func notUp(d *appsv1.Deployment, pods []corev1.Pod, waiting string) *Component {
	wanted := int32(1)
	if d.Spec.Replicas != nil {
		wanted = *d.Spec.Replicas
	}
	about := fmt.Sprintf("Deployment %s/%s has %d of %d replicas available", d.Namespace, d.Name, d.Status.AvailableReplicas, wanted)
	problems := podProblems(pods)
	if len(problems) > 0 {
		p := problems[0]
		return &Component{Problem: &Problem{p.Reason, about + ": " + p.Message}}
	}
	for _, condition := range d.Status.Conditions {
		if condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
			return &Component{Problem: &Problem{v1alpha1.ReasonInstallFailed, about + ": its pods are refused: " + condition.Message}}
		}
	}
	if d.Status.AvailableReplicas >= wanted { // of an older template, or with more on their way out
		about += ": " + waiting
	}
	return &Component{Waiting: about}
}

// podProblems lists what keeps pods from being up, the most telling first, each once.
func podProblems(pods []corev1.Pod) []Problem {
	var out []Problem
	for i := range pods {
		pod := &pods[i]
		if pod.DeletionTimestamp != nil {
			continue
		}
		for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			if p := containerProblem(s); p != nil {
				out = append(out, *p)
			}
		}
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
				out = append(out, Problem{v1alpha1.ReasonUnschedulable, "no node takes a pod: " + c.Message})
			}
		}
	}
	rank := func(p Problem) string { return fmt.Sprintf("%d %s", slices.Index(ranks, p.Reason), p.Message) }
	slices.SortFunc(out, func(a, b Problem) int { return strings.Compare(rank(a), rank(b)) })
	return slices.Compact(out)
}

var ranks = []string{v1alpha1.ReasonImagePullFailed, v1alpha1.ReasonCrashing, v1alpha1.ReasonUnschedulable}

func containerProblem(s corev1.ContainerStatus) *Problem {
	if s.State.Waiting == nil {
		return nil
	}
	switch s.State.Waiting.Reason {
	case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable":
		return &Problem{v1alpha1.ReasonImagePullFailed, fmt.Sprintf("its nodes can't get image %s: check global.hub, global.tag and global.imagePullSecrets in the federation's values", s.Image)}
	case "CrashLoopBackOff":
		return &Problem{v1alpha1.ReasonCrashing, fmt.Sprintf("container %s ends again and again%s: `kubectl logs` of the pod tells why", s.Name, lastExit(s))}
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
		return &Problem{v1alpha1.ReasonCrashing, fmt.Sprintf("container %s can't be started: %s", s.Name, s.State.Waiting.Message)}
	default:
		return nil
	}
}

func lastExit(s corev1.ContainerStatus) string {
	if t := s.LastTerminationState.Terminated; t != nil {
		return fmt.Sprintf(" (%s, exit code %d)", t.Reason, t.ExitCode)
	}
	return ""
}
