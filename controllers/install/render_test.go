// SPDX-License-Identifier: Apache-2.0

package install

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/isthmesh/isthmesh/test/golden"
)

const version = "v1.36.3"

// scenarios are values that people install with.
var scenarios = map[string]struct {
	chart, release string
	values         map[string]any
}{
	"Base":              {chart: Base, release: "istio-base"},
	"BaseWithout":       {chart: Base, release: "istio-base", values: map[string]any{"base": map[string]any{"validation": false}}},
	"Istiod":            {chart: Istiod, release: "istiod"},
	"IstiodMember":      {chart: Istiod, release: "istiod", values: memberValues},
	"IstiodRevision":    {chart: Istiod, release: "istiod-canary", values: map[string]any{"revision": "canary"}},
	"IstiodAutoscaled":  {chart: Istiod, release: "istiod", values: map[string]any{"autoscaleEnabled": true, "autoscaleMin": int64(2)}},
	"Gateway":           {chart: Gateway, release: "istio-ingressgateway"},
	"GatewayEastWest":   {chart: Gateway, release: "istio-eastwestgateway", values: map[string]any{"networkGateway": "west", "replicaCount": int64(2)}},
	"GatewayAutoscaled": {chart: Gateway, release: "istio-ingressgateway", values: map[string]any{"autoscaling": map[string]any{"enabled": true}}},
	"GatewayEverywhere": {chart: Gateway, release: "istio-ingressgateway", values: map[string]any{
		"kind": "DaemonSet", "minReadySeconds": int64(5), "dnsPolicy": "Default",
		"serviceAccount": map[string]any{"create": false, "name": "shared"},
		"service":        map[string]any{"clusterIP": "None", "selectorLabels": map[string]any{"app": "other"}},
		"envVarFrom":     []any{map[string]any{"name": "A", "valueFrom": map[string]any{"fieldRef": map[string]any{"fieldPath": "spec.nodeName"}}}},
		"volumes":        []any{map[string]any{"name": "certs", "secret": map[string]any{"secretName": "certs"}}},
		"volumeMounts":   []any{map[string]any{"name": "certs", "mountPath": "/etc/certs"}},
	}},
	"Hub":             {chart: Hub, release: "isthmesh"},
	"HubOneNamespace": {chart: Hub, release: "isthmesh", values: map[string]any{"watchNamespaces": []any{"shop"}, "networkPolicy": map[string]any{"enabled": true}}},
}

var memberValues = map[string]any{
	"global": map[string]any{
		"network": "west", "meshID": "shop", "multiCluster": map[string]any{"clusterName": "west"},
		"locality": map[string]any{"region": "eu", "zone": "eu-1"},
	},
	"meshConfig": map[string]any{"trustDomain": "west.shop.example"},
	"federation": map[string]any{"enabled": true},
}

// TestRender keeps, for each scenario, what is rendered: all names, and the
// Deployments and Services whole.
func TestRender(t *testing.T) {
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			objects, err := Render(s.chart, s.values, s.release, "istio-system", version)
			if err != nil {
				t.Fatal(err)
			}
			golden.File(t, filepath.Join("testdata", name+".txt"), digest(t, objects))
		})
	}
}

func digest(t *testing.T, objects []*unstructured.Unstructured) string {
	t.Helper()
	var b strings.Builder
	for _, o := range objects {
		fmt.Fprintln(&b, itemOf(o))
	}
	for _, o := range objects {
		if !slices.Contains([]string{"Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler"}, o.GetKind()) {
			continue
		}
		raw, err := json.MarshalIndent(o.Object["spec"], "", " ")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "\n%s %s\n", itemOf(o), raw)
	}
	return b.String()
}

func TestRenderIsDeterministic(t *testing.T) {
	for name, s := range scenarios {
		first, err := Render(s.chart, s.values, s.release, "istio-system", version)
		if err != nil {
			t.Fatal(err)
		}
		want, err := Set{Objects: first}.Digest()
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			again, err := Render(s.chart, s.values, s.release, "istio-system", version)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := (Set{Objects: again}).Digest(); err != nil || got != want {
				t.Errorf("%s: digest %s, %v; want %s", name, got, err, want)
			}
		}
	}
}

// TestPodsAreRestricted holds every pod of ours to the restricted Pod Security
// Standard, with probes and without room to write.
func TestPodsAreRestricted(t *testing.T) {
	for name, s := range scenarios {
		objects, err := Render(s.chart, s.values, s.release, "istio-system", version)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			if o.GetKind() != "Deployment" {
				continue
			}
			var d appsv1.Deployment
			into(t, o, &d)
			for _, problem := range unrestricted(d.Spec.Template.Spec) {
				t.Errorf("%s: Deployment %s: %s", name, d.Name, problem)
			}
		}
	}
}

func unrestricted(p corev1.PodSpec) []string {
	var out []string
	require := func(ok bool, what string) {
		if !ok {
			out = append(out, what)
		}
	}
	pod := p.SecurityContext
	require(pod != nil && pod.RunAsNonRoot != nil && *pod.RunAsNonRoot, "runs as root")
	require(pod != nil && pod.SeccompProfile != nil && pod.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault, "has no seccomp profile")
	for _, c := range p.Containers {
		s := c.SecurityContext
		require(s != nil && s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation, c.Name+" may escalate")
		require(s != nil && s.ReadOnlyRootFilesystem != nil && *s.ReadOnlyRootFilesystem, c.Name+" writes to its root")
		require(s != nil && s.Capabilities != nil && slices.Contains(s.Capabilities.Drop, "ALL") && len(s.Capabilities.Add) == 0, c.Name+" has capabilities")
		require(c.ReadinessProbe != nil, c.Name+" has no readiness probe")
		require(len(c.Resources.Requests) > 0, c.Name+" requests nothing")
		require(c.ImagePullPolicy == corev1.PullIfNotPresent, c.Name+" pulls always")
	}
	return out
}

// TestNobodyReadsAllSecrets: no role that spans a cluster may read Secrets, but
// the hub's where it watches all namespaces, and no rule has the verb "*".
func TestNobodyReadsAllSecrets(t *testing.T) {
	for name, s := range scenarios {
		objects, err := Render(s.chart, s.values, s.release, "istio-system", version)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			if o.GetKind() != "ClusterRole" && o.GetKind() != "Role" {
				continue
			}
			var r rbacv1.ClusterRole
			into(t, o, &r)
			for _, rule := range r.Rules {
				if slices.Contains(rule.Verbs, "*") {
					t.Errorf("%s: %s may do everything with %v", name, itemOf(o), rule.Resources)
				}
				everywhere := o.GetKind() == "ClusterRole" && boundEverywhere(t, objects, o.GetName())
				if everywhere && slices.Contains(rule.Resources, "secrets") && name != "Hub" {
					t.Errorf("%s: %s reaches all Secrets", name, itemOf(o))
				}
			}
		}
	}
}

// boundEverywhere is true when a ClusterRoleBinding gives a role.
func boundEverywhere(t *testing.T, objects []*unstructured.Unstructured, role string) bool {
	t.Helper()
	return slices.ContainsFunc(objects, func(o *unstructured.Unstructured) bool {
		if o.GetKind() != "ClusterRoleBinding" {
			return false
		}
		var b rbacv1.ClusterRoleBinding
		into(t, o, &b)
		return b.RoleRef.Name == role
	})
}

func into(t *testing.T, o *unstructured.Unstructured, target any) {
	t.Helper()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, target, true); err != nil {
		t.Fatalf("%s: %v", itemOf(o), err)
	}
}

func TestRenderRefusesValues(t *testing.T) {
	tests := map[string]struct {
		chart  string
		values string
		want   string
	}{
		"WrongType": {
			Istiod, `{"replicaCount":"two"}`,
			`chart istiod refuses the values: "replicaCount" is wrong: got string, want integer`,
		},
		"UnknownName": {
			Istiod, `{"global":{"netwrok":"west"}}`,
			`chart istiod refuses the values: "global.netwrok" is not known: see the chart's values.yaml for its names`,
		},
		"Several": {
			Gateway, `{"replicaCount":0,"service":{"type":"Magic"},"zone":1}`,
			`chart gateway refuses the values: "replicaCount" is wrong: minimum: got 0, want 1; ` +
				`"service.type" is wrong: value must be one of 'LoadBalancer', 'NodePort', 'ClusterIP'; ` +
				`"zone" is not known: see the chart's values.yaml for its names`,
		},
		"InsideList": {
			Gateway, `{"service":{"ports":[{"name":"tls","port":"https"}]}}`,
			`chart gateway refuses the values: "service.ports.0.port" is wrong: got string, want integer`,
		},
		"Fraction": {
			Istiod, `{"autoscaleMin":1.5}`,
			`chart istiod refuses the values: "autoscaleMin" is wrong: got number, want integer`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			values, err := ParseValues([]byte(test.values))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Render(test.chart, values, "x", "istio-system", version)
			if err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestParseValues(t *testing.T) {
	tests := map[string]struct {
		raw  string
		want map[string]any
		err  string
	}{
		"Nothing":  {raw: "", want: map[string]any{}},
		"Null":     {raw: "null", want: map[string]any{}},
		"Numbers":  {raw: `{"a":1,"b":1.5,"c":[2]}`, want: map[string]any{"a": int64(1), "b": 1.5, "c": []any{int64(2)}}},
		"AList":    {raw: `[1]`, err: "values must be an object, name to value"},
		"NotJSON":  {raw: `{`, err: "values are not JSON: unexpected end of JSON input"},
		"BigCount": {raw: `{"a":1500000}`, want: map[string]any{"a": int64(1500000)}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseValues([]byte(test.raw))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if fmt.Sprint(err) != test.err && (err != nil || test.err != "") {
				t.Errorf("error %v, want %q", err, test.err)
			}
		})
	}
}

func TestMergeValues(t *testing.T) {
	low := map[string]any{"a": map[string]any{"x": 1, "y": 1}, "b": 1}
	high := map[string]any{"a": map[string]any{"y": 2}, "b": map[string]any{"z": 2}}
	got := MergeValues(low, high)
	if diff := cmp.Diff(map[string]any{"a": map[string]any{"x": 1, "y": 2}, "b": map[string]any{"z": 2}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got["a"].(map[string]any)["x"] = 3
	if low["a"].(map[string]any)["x"] != 1 {
		t.Error("the merged values share an object with their source")
	}
}

// TestReadNamesWhatIsMissing: a build without generated files compiles, and
// says what it lacks when it is used.
func TestReadNamesWhatIsMissing(t *testing.T) {
	fsys := fstest.MapFS{"base/Chart.yaml": {Data: []byte("name: base\nversion: 0.1.0\n")}}
	_, err := read(fsys, Base)
	want := "chart base was built without crds/istio_*.yaml: run `make generate` and build again"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
