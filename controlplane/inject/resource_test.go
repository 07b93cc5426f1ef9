// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestResource(t *testing.T) {
	files, err := filepath.Glob("testdata/resources/*.in.yaml")
	must(t, err)
	if len(files) == 0 {
		t.Fatal("no cases in testdata/resources")
	}
	c := testConfig(t, "", "", "")
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".in.yaml"), func(t *testing.T) {
			in, err := os.ReadFile(file)
			must(t, err)
			got, err := Resource(in, c, nil)
			must(t, err)
			golden := strings.TrimSuffix(file, ".in.yaml") + ".out.yaml"
			if *update {
				must(t, os.WriteFile(golden, got, 0o644))
			}
			want, err := os.ReadFile(golden)
			must(t, err)
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			again, err := Resource(got, c, nil)
			must(t, err)
			if diff := cmp.Diff(string(got), string(again)); diff != "" {
				t.Errorf("injected again (-once +twice):\n%s", diff)
			}
		})
	}
}

func TestResourceKinds(t *testing.T) {
	c := testConfig(t, "", "", "")
	pod := `{"metadata":{"labels":{"app":"x"}},"spec":{"containers":[{"name":"x","image":"x"}]}}`
	cases := map[string]struct {
		in       string
		injected bool
	}{
		"Deployment":            {`{"kind":"Deployment","metadata":{"name":"x"},"spec":{"template":` + pod + `}}`, true},
		"StatefulSet":           {`{"kind":"StatefulSet","metadata":{"name":"x"},"spec":{"template":` + pod + `}}`, true},
		"DaemonSet":             {`{"kind":"DaemonSet","metadata":{"name":"x"},"spec":{"template":` + pod + `}}`, true},
		"ReplicaSet":            {`{"kind":"ReplicaSet","metadata":{"name":"x"},"spec":{"template":` + pod + `}}`, true},
		"ReplicationController": {`{"kind":"ReplicationController","metadata":{"name":"x"},"spec":{"template":` + pod + `}}`, true},
		"Job":                   {`{"kind":"Job","metadata":{"name":"x"},"spec":{"template":` + pod + `}}`, true},
		"CronJob":               {`{"kind":"CronJob","metadata":{"name":"x"},"spec":{"jobTemplate":{"spec":{"template":` + pod + `}}}}`, true},
		"Pod":                   {`{"kind":"Pod",` + pod[1:], true},
		"DeploymentList":        {`{"kind":"DeploymentList","items":[{"kind":"Deployment","metadata":{"name":"x"},"spec":{"template":` + pod + `}}]}`, true},
		"Secret":                {`{"kind":"Secret","metadata":{"name":"x"},"data":{}}`, false},
		"WithoutTemplate":       {`{"kind":"Deployment","metadata":{"name":"x"},"spec":{"replicas":1}}`, false},
		"NotAnObject":           {`["a", "b"]`, false},
		"Empty":                 {"", false},
		"Comment":               {"# nothing\n", false},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Resource([]byte(test.in), c, nil)
			must(t, err)
			if injected := bytes.Contains(got, []byte("istio-proxy")); injected != test.injected {
				t.Errorf("injected %v, want %v:\n%s", injected, test.injected, got)
			}
			if !test.injected && strings.TrimSpace(string(got)) != strings.TrimSpace(test.in) {
				t.Errorf("changed to %q", got)
			}
			if strings.HasPrefix(test.in, "{") && !json.Valid(got) {
				t.Errorf("JSON became %s", got)
			}
		})
	}
}

func TestResourceErrors(t *testing.T) {
	c := testConfig(t, "", "", "")
	cases := map[string]struct{ in, err string }{
		"NotYAML": {"kind: Pod\n---\na: [", "document 2: yaml: "},
		"Refused": {"kind: Pod\nmetadata: {name: x, annotations: {sidecar.istio.io/proxyCPU: much}}\nspec: {}", `document 1: Pod "x": annotation sidecar.istio.io/proxyCPU: "much" is not a quantity such as 100m or 128Mi`},
		"NotAPod": {"kind: Deployment\nmetadata: {name: x}\nspec: {template: {spec: {containers: 3}}}", `document 1: Deployment "x": the pod: json: cannot unmarshal number`},
		"Deep":    {strings.Repeat(`{"kind":"List","items":[`, 12) + strings.Repeat(`]}`, 12), "lists are nested too deeply"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Resource([]byte(test.in), c, nil)
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("error %v, want %s", err, test.err)
			}
		})
	}
}

func FuzzResource(f *testing.F) {
	in, err := os.ReadFile("testdata/resources/kinds.in.yaml")
	must(f, err)
	f.Add(in)
	f.Add([]byte(`{"kind":"Pod","metadata":null,"spec":{"containers":null,"initContainers":null,"volumes":[{}]}}`))
	f.Add([]byte("kind: CronJob\nspec: {jobTemplate: {spec: {template: null}}}\n---\n---\n# x"))
	c := testConfig(f, "", "", "")
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := Resource(in, c, nil)
		if err != nil {
			return
		}
		// What was injected once is not injected again.
		again, err := Resource(out, c, nil)
		if err != nil {
			t.Fatalf("cannot read its own output: %v\n%s", err, out)
		}
		if bytes.Contains(in, []byte("status")) || bytes.Contains(in, []byte("istio")) {
			return // may claim to be injected
		}
		if !bytes.Equal(out, again) {
			t.Errorf("injected again:\n%s", cmp.Diff(string(out), string(again)))
		}
	})
}
