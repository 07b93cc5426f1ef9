// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	meshv1alpha1 "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// data is what a template sees; the names are Istio's.
type data struct {
	TypeMeta       metav1.TypeMeta
	DeploymentMeta metav1.ObjectMeta
	ObjectMeta     metav1.ObjectMeta
	Spec           corev1.PodSpec
	ProxyConfig    *meshv1alpha1.ProxyConfig
	// ProxyImage has the type that ProxyConfig asks for.
	ProxyImage string
	MeshConfig *meshv1alpha1.MeshConfig
	Values     map[string]any
	Revision   string
	// CanonicalName and CanonicalRevision of the workload.
	CanonicalName, CanonicalRevision string
}

// maxRendered bounds what a template may make.
const maxRendered = 1 << 20

// render runs a template and reads what comes out as a part of a pod, in JSON.
func render(t *template.Template, d data) ([]byte, error) {
	var out bytes.Buffer
	if err := t.Execute(&limited{to: &out, left: maxRendered}, d); err != nil {
		return nil, fmt.Errorf("template %q: %w", t.Name(), err)
	}
	part, err := yaml.YAMLToJSON(out.Bytes())
	if err != nil {
		return nil, fmt.Errorf("template %q does not make YAML: %w", t.Name(), err)
	}
	// Strictly: a misspelt field would be lost without a word.
	if err := yaml.UnmarshalStrict(part, &corev1.Pod{}); err != nil {
		return nil, fmt.Errorf("template %q does not make a part of a pod: %w", t.Name(), err)
	}
	return part, nil
}

type limited struct {
	to   *bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, errors.New("makes more than 1 MiB")
	}
	return l.to.Write(p)
}

// functions of templates: sprig's, without those that reach outside of the
// template, and Istio's own.
func functions() template.FuncMap {
	f := sprig.TxtFuncMap()
	for _, name := range []string{"env", "expandenv", "getHostByName"} {
		delete(f, name)
	}
	// env is, in Istio's templates, the value of a variable or a default; no
	// template may read the control plane's environment.
	f["annotation"] = annotation
	f["isset"] = func(m map[string]string, key string) bool { _, ok := m[key]; return ok }
	f["valueOrDefault"] = valueOrDefault
	f["toYaml"] = toYaml
	f["toJSON"] = toJSON
	f["structToJSON"] = toJSON
	f["fromJSON"] = fromJSON
	f["protoToJSON"] = protoToJSON
	f["directory"] = func(file string) string { dir, _ := path.Split(file); return dir }
	f["contains"] = strings.Contains
	f["toLower"] = strings.ToLower
	return f
}

// annotation is the value of a pod's annotation, or a default.
func annotation(meta metav1.ObjectMeta, name string, other any) string {
	if value, ok := meta.Annotations[name]; ok {
		return value
	}
	if other == nil {
		return ""
	}
	return fmt.Sprint(other)
}

func valueOrDefault(value, other any) any {
	if value == nil || value == "" {
		return other
	}
	return value
}

func toYaml(v any) (string, error) {
	b, err := yaml.Marshal(v)
	return strings.TrimSuffix(string(b), "\n"), err
}

func toJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

func fromJSON(text string) (any, error) {
	var v any
	err := yaml.Unmarshal([]byte(text), &v)
	return v, err
}

// protoToJSON is one line, the same for the same message.
func protoToJSON(m proto.Message) (string, error) {
	b, err := protojson.Marshal(m)
	if err != nil {
		return "", err
	}
	// protojson varies its spaces on purpose.
	var compact bytes.Buffer
	if err := json.Compact(&compact, b); err != nil {
		return "", err
	}
	return compact.String(), nil
}
