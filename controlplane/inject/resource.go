// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// maxDepth of lists in lists.
const maxDepth = 8

// templatePaths say where the pod is in an object, by kind.
var templatePaths = map[string][]string{
	"Pod":                   {},
	"Deployment":            {"spec", "template"},
	"StatefulSet":           {"spec", "template"},
	"DaemonSet":             {"spec", "template"},
	"ReplicaSet":            {"spec", "template"},
	"ReplicationController": {"spec", "template"},
	"Job":                   {"spec", "template"},
	"CronJob":               {"spec", "jobTemplate", "spec", "template"},
	"PodTemplate":           {"template"},
}

// Resource injects the pods of every object in a stream of YAML documents or
// JSON objects. Documents without a pod to inject come out byte for byte as
// they came in, and of the others all that injection doesn't touch. Warn, which
// may be nil, takes what the pods ask for and don't get. Errors name the
// document and the object.
func Resource(in []byte, c Config, warn func(string)) ([]byte, error) {
	if warn == nil {
		warn = func(string) {}
	}
	var out bytes.Buffer
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(in)))
	for i := 1; ; i++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return out.Bytes(), nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i, err)
		}
		changed, err := injectDocument(document, c, warn)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i, err)
		}
		if i > 1 {
			out.WriteString("---\n")
		}
		out.Write(changed)
		if n := out.Len(); n > 0 && out.Bytes()[n-1] != '\n' {
			out.WriteByte('\n')
		}
	}
}

func injectDocument(document []byte, c Config, warn func(string)) ([]byte, error) {
	object, err := yaml.YAMLToJSON(document)
	if err != nil {
		return nil, err
	}
	changed, err := injectObject(object, c, warn, 0)
	if err != nil || changed == nil {
		return document, err
	}
	if bytes.HasPrefix(bytes.TrimSpace(document), []byte("{")) {
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, changed, "", "  "); err != nil {
			return nil, err
		}
		return pretty.Bytes(), nil
	}
	return yaml.JSONToYAML(changed)
}

// header is what tells objects apart.
type header struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
}

// injectObject returns nil when there is nothing to change.
func injectObject(object []byte, c Config, warn func(string), depth int) ([]byte, error) {
	var h header
	if err := json.Unmarshal(object, &h); err != nil {
		// Not an object of Kubernetes: none of our business.
		return nil, nil //nolint:nilerr // see above
	}
	if strings.HasSuffix(h.Kind, "List") && h.Kind != "" {
		return injectList(object, h, c, warn, depth)
	}
	path, ok := templatePaths[h.Kind]
	if !ok {
		return nil, nil
	}
	changed, err := injectAt(object, h, path, c, warn)
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", h.Kind, h.Metadata.Name, err)
	}
	return changed, nil
}

func injectList(object []byte, h header, c Config, warn func(string), depth int) ([]byte, error) {
	if depth == maxDepth {
		return nil, fmt.Errorf("%s: lists are nested too deeply", h.Kind)
	}
	var fields map[string]json.RawMessage
	var items []json.RawMessage
	if err := json.Unmarshal(object, &fields); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(fields["items"], &items); err != nil {
		return nil, nil //nolint:nilerr // no list of Kubernetes
	}
	touched := false
	for i, item := range items {
		changed, err := injectObject(item, c, warn, depth+1)
		if err != nil {
			return nil, fmt.Errorf("%s: items[%d]: %w", h.Kind, i, err)
		}
		if changed != nil {
			items[i], touched = changed, true
		}
	}
	if !touched {
		return nil, nil
	}
	body, err := json.Marshal(items)
	if err != nil {
		return nil, err
	}
	fields["items"] = body
	return json.Marshal(fields)
}

// injectAt injects the pod that is at a path in an object.
func injectAt(object []byte, h header, path []string, c Config, warn func(string)) ([]byte, error) {
	raw := json.RawMessage(object)
	for _, field := range path {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(raw, &fields); err != nil {
			return nil, fmt.Errorf("%s: %w", strings.Join(path, "."), err)
		}
		if raw = fields[field]; raw == nil {
			return nil, nil
		}
	}
	var pod corev1.Pod
	if err := json.Unmarshal(raw, &pod); err != nil {
		return nil, fmt.Errorf("the pod: %w", err)
	}
	before := pod.DeepCopy()
	if pod.Namespace == "" {
		pod.Namespace = first(h.Metadata.Namespace, c.Namespace)
	}
	workload := Workload{APIVersion: h.APIVersion, Kind: h.Kind, Name: h.Metadata.Name}
	if len(path) == 0 {
		workload = WorkloadOf(&pod)
	}
	result, err := inject(&pod, workload, c)
	if err != nil || result.Skipped != "" {
		return nil, err
	}
	for _, w := range result.Warnings {
		warn(fmt.Sprintf("%s %q: %s", h.Kind, h.Metadata.Name, w))
	}
	result.Pod.Namespace = before.Namespace
	return patched(object, path, before, result.Pod)
}

func patched(object []byte, path []string, before, after *corev1.Pod) ([]byte, error) {
	// The kind is the object's, not the pod's.
	before.TypeMeta, after.TypeMeta = metav1.TypeMeta{}, metav1.TypeMeta{}
	operations, err := patch(before, after)
	if err != nil {
		return nil, err
	}
	for i := range operations {
		if len(path) > 0 {
			operations[i].Path = "/" + strings.Join(path, "/") + operations[i].Path
		}
	}
	body, err := json.Marshal(operations)
	if err != nil {
		return nil, err
	}
	decoded, err := jsonpatch.DecodePatch(body)
	if err != nil {
		return nil, fmt.Errorf("read the patch: %w", err)
	}
	out, err := decoded.ApplyWithOptions(object, &jsonpatch.ApplyOptions{EnsurePathExistsOnAdd: true, AllowMissingPathOnRemove: true, SupportNegativeIndices: false})
	if err != nil {
		return nil, fmt.Errorf("apply the patch: %w", err)
	}
	return out, nil
}
