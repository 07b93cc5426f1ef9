// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/isthmesh/isthmesh/controlplane/proxyconfig"
)

// Result is what became of a pod.
type Result struct {
	// Pod with its sidecar, or the very pod that was given when Skipped.
	Pod *corev1.Pod
	// Skipped says why there is no injection; empty when there is.
	Skipped string
	// Warnings name what the pod asks for and doesn't get.
	Warnings []string
}

// Inject puts the sidecar into a pod. The pod given is not changed. A pod that
// asks for what is not supported is refused (Refused tells); any other error
// is one of the configuration.
func Inject(pod *corev1.Pod, c Config) (Result, error) {
	return inject(pod, WorkloadOf(pod), c)
}

func inject(pod *corev1.Pod, w Workload, c Config) (Result, error) {
	namespace := first(pod.Namespace, c.Namespace, metav1.NamespaceDefault)
	if gatewayIn(pod, c) != nil {
		return configure(pod, namespace, c)
	}
	if why := skip(pod, namespace, c); why != "" {
		return Result{Pod: pod, Skipped: why}, nil
	}
	warnings, err := checkAnnotations(pod.Annotations)
	if err != nil {
		return Result{}, err
	}
	scope := proxyconfig.Sidecar
	if slices.Contains(templates(pod, c), GatewayTemplate) {
		scope = proxyconfig.Gateway
	}
	proxy, more, err := proxyConfig(c, pod.ObjectMeta, namespace, scope)
	if err != nil {
		return Result{}, err
	}
	image, found := proxyImage(c, proxy)
	if found != nil {
		more = append(more, "image of the proxy: "+found.Message)
	}
	warnings = slices.Concat(warnings, more, checkUsers(pod))

	name, revision := Canonical(pod.Labels, w)
	d := data{
		TypeMeta:       metav1.TypeMeta{APIVersion: w.APIVersion, Kind: w.Kind},
		DeploymentMeta: metav1.ObjectMeta{Name: w.Name, Namespace: namespace},
		ObjectMeta:     pod.ObjectMeta, Spec: pod.Spec,
		ProxyConfig: proxy, ProxyImage: image, MeshConfig: c.Mesh, Values: c.Values, Revision: c.Revision,
		CanonicalName: name, CanonicalRevision: revision,
	}
	merged, own := withoutProxy(pod)
	for _, name := range templates(pod, c) {
		t := c.Templates[name]
		if t == nil {
			return Result{}, refuse("annotation inject.istio.io/templates: there is no template %q", name)
		}
		part, err := render(t, d)
		if err != nil {
			return Result{}, err
		}
		if merged, err = mergePod(merged, part); err != nil {
			return Result{}, fmt.Errorf("merge template %q: %w", name, err)
		}
	}
	if merged, err = customise(merged, own); err != nil {
		return Result{}, err
	}
	order(merged, pod)
	if at := proxyIn(merged); at != nil {
		if rewriteWanted(pod, c) {
			if err := rewriteProbes(merged, at); err != nil {
				return Result{}, err
			}
		}
		if err := mergeMetrics(merged, at, pod, c); err != nil {
			return Result{}, err
		}
	}
	label(merged, name, revision)
	if err := annotate(merged, pod, c); err != nil {
		return Result{}, err
	}
	return Result{Pod: merged, Warnings: warnings}, nil
}

func templates(pod *corev1.Pod, c Config) []string {
	named := pod.Annotations["inject.istio.io/templates"]
	if named == "" {
		return c.DefaultTemplates
	}
	var out []string
	for name := range strings.SplitSeq(named, ",") {
		out = append(out, strings.TrimSpace(name))
	}
	return out
}

// mergePod merges a part into a pod by Kubernetes' own rules of lists and keys.
func mergePod(pod *corev1.Pod, part []byte) (*corev1.Pod, error) {
	whole, err := json.Marshal(pod)
	if err != nil {
		return nil, err
	}
	body, err := strategicpatch.StrategicMergePatch(whole, part, corev1.Pod{})
	if err != nil {
		return nil, err
	}
	var out corev1.Pod
	if err := json.Unmarshal(body, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// withoutProxy takes a container istio-proxy that the pod's author wrote out
// of the pod: it is what he wants different in the one of the template.
func withoutProxy(pod *corev1.Pod) (*corev1.Pod, *corev1.Container) {
	out := pod.DeepCopy()
	var own *corev1.Container
	take := func(c corev1.Container) bool {
		if c.Name != proxyContainer {
			return false
		}
		own = c.DeepCopy()
		return true
	}
	out.Spec.Containers = slices.DeleteFunc(out.Spec.Containers, take)
	out.Spec.InitContainers = slices.DeleteFunc(out.Spec.InitContainers, take)
	return out, own
}

// customise puts what the pod's author wrote over the template's proxy.
func customise(pod *corev1.Pod, own *corev1.Container) (*corev1.Pod, error) {
	at := proxyIn(pod)
	if own == nil || at == nil {
		return pod, nil
	}
	// The word that stands for the template's image.
	if own.Image == "auto" {
		own.Image = ""
	}
	under, err := json.Marshal(at)
	if err != nil {
		return nil, fmt.Errorf("merge container %s: %w", proxyContainer, err)
	}
	over, err := json.Marshal(own)
	if err != nil {
		return nil, fmt.Errorf("merge container %s: %w", proxyContainer, err)
	}
	body, err := strategicpatch.StrategicMergePatch(under, over, corev1.Container{})
	if err != nil {
		return nil, refuse("container %s cannot be merged with the template's: %v", proxyContainer, err)
	}
	*at = corev1.Container{}
	if err := json.Unmarshal(body, at); err != nil {
		return nil, fmt.Errorf("merge container %s: %w", proxyContainer, err)
	}
	return pod, nil
}

func proxyIn(pod *corev1.Pod) *corev1.Container {
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if list[i].Name == proxyContainer {
				return &list[i]
			}
		}
	}
	return nil
}

// order keeps the pod's own order and appends what is new, but for init
// containers: redirection comes first, then the proxy, so that the pod's own
// init containers have the network that the application has.
func order(merged, pod *corev1.Pod) {
	rank := func(c corev1.Container) int {
		switch c.Name {
		case initContainer:
			return -2
		case proxyContainer:
			return -1
		default:
			return place(pod.Spec.InitContainers, func(o corev1.Container) bool { return o.Name == c.Name })
		}
	}
	slices.SortStableFunc(merged.Spec.InitContainers, func(a, b corev1.Container) int { return rank(a) - rank(b) })
	slices.SortStableFunc(merged.Spec.Containers, func(a, b corev1.Container) int {
		return place(pod.Spec.Containers, func(o corev1.Container) bool { return o.Name == a.Name }) -
			place(pod.Spec.Containers, func(o corev1.Container) bool { return o.Name == b.Name })
	})
	slices.SortStableFunc(merged.Spec.Volumes, func(a, b corev1.Volume) int {
		return place(pod.Spec.Volumes, func(o corev1.Volume) bool { return o.Name == a.Name }) -
			place(pod.Spec.Volumes, func(o corev1.Volume) bool { return o.Name == b.Name })
	})
}

// place is the index, or behind all when there is none.
func place[T any](list []T, is func(T) bool) int {
	if i := slices.IndexFunc(list, is); i >= 0 {
		return i
	}
	return len(list)
}

// checkUsers warns of containers whose traffic the redirection takes for the
// proxy's own.
func checkUsers(pod *corev1.Pod) []string {
	var out []string
	proxyID := func(id *int64) bool { return id != nil && *id == 1337 }
	if s := pod.Spec.SecurityContext; s != nil && (proxyID(s.RunAsUser) || proxyID(s.RunAsGroup)) {
		out = append(out, "securityContext: user and group 1337 are the proxy's: what runs as them passes the mesh by")
	}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if s := c.SecurityContext; c.Name != proxyContainer && s != nil && (proxyID(s.RunAsUser) || proxyID(s.RunAsGroup)) {
			out = append(out, fmt.Sprintf("container %s: user and group 1337 are the proxy's: what runs as them passes the mesh by", c.Name))
		}
	}
	return out
}
