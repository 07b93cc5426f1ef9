// SPDX-License-Identifier: Apache-2.0

package machine_test

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	meshapi "istio.io/api/mesh/v1alpha1"
	clientnetworking "istio.io/client-go/pkg/apis/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/agent/machine"
)

const group = `
metadata: {name: ratings, namespace: vm}
spec:
  metadata:
    labels: {app: ratings, version: v2}
    annotations:
      proxy.istio.io/config: |
        drainDuration: 20s
        proxyMetadata: {GREETING: it's "me" $HOME}
  template:
    ports: {http: 8080, admin: 9090, same: 8080}
    serviceAccount: bookinfo-ratings
    network: machines
  probe:
    periodSeconds: 5
    httpGet: {port: 8080, path: /healthz}
`

const mesh = `
trustDomain: west.shop.example
defaultConfig: {meshId: shop, concurrency: 3, proxyMetadata: {SHARED: x, GREETING: hello}}
`

func read(t *testing.T, text string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}

func input(t *testing.T, groupText, meshText string) machine.Input {
	t.Helper()
	in := machine.Input{Group: &clientnetworking.WorkloadGroup{}, Mesh: &meshapi.MeshConfig{}, Cluster: machine.Cluster{ID: "west", MeshID: "other"}}
	read(t, groupText, in.Group)
	body, err := yaml.YAMLToJSON([]byte(meshText))
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Mesh.UnmarshalJSON(body); err != nil {
		t.Fatal(err)
	}
	return in
}

// TestFiles: both files as they are, and what the agent reads out of them.
func TestFiles(t *testing.T) {
	in := input(t, group, mesh)
	in.Internal, in.AutoRegister, in.CaptureDNS = netip.MustParseAddr("10.0.0.7"), true, true
	got, err := machine.New(in)
	if err != nil {
		t.Fatal(err)
	}
	labels := `{"app":"ratings","service.istio.io/canonical-name":"ratings","service.istio.io/canonical-revision":"v2","version":"v2"}`
	wantEnv := `CANONICAL_REVISION=v2
CANONICAL_SERVICE=ratings
GREETING='it'"'"'s "me" $HOME'
ISTIO_INBOUND_PORTS=8080,9090
ISTIO_LOCAL_EXCLUDE_PORTS=22,15090,15021,15020
ISTIO_METAJSON_LABELS='` + labels + `'
ISTIO_META_AUTO_REGISTER_GROUP=ratings
ISTIO_META_CLUSTER_ID=west
ISTIO_META_DNS_CAPTURE=true
ISTIO_META_MESH_ID=shop
ISTIO_META_NETWORK=machines
ISTIO_META_POD_PORTS='[{"name":"admin","containerPort":9090},{"name":"http","containerPort":8080},{"name":"same","containerPort":8080}]'
ISTIO_META_WORKLOAD_NAME=ratings
ISTIO_NAMESPACE=vm
ISTIO_SERVICE=ratings.vm
ISTIO_SERVICE_CIDR='*'
ISTIO_SVC_IP=10.0.0.7
POD_NAMESPACE=vm
SERVICE_ACCOUNT=bookinfo-ratings
SHARED=x
TRUST_DOMAIN=west.shop.example
`
	if diff := cmp.Diff(wantEnv, string(got.ClusterEnv)); diff != "" {
		t.Errorf("cluster.env (-want +got):\n%s", diff)
	}
	var config struct {
		DefaultConfig map[string]any `json:"defaultConfig"`
	}
	read(t, string(got.Mesh), &config)
	delete(config.DefaultConfig, "proxyMetadata")
	wantConfig := map[string]any{
		"concurrency": float64(3), "drainDuration": "20s", "meshId": "shop",
		"readinessProbe": map[string]any{"periodSeconds": float64(5), "httpGet": map[string]any{"port": float64(8080), "path": "/healthz"}},
	}
	if diff := cmp.Diff(wantConfig, config.DefaultConfig); diff != "" {
		t.Errorf("mesh.yaml (-want +got):\n%s", diff)
	}
	if len(got.Warnings) != 0 {
		t.Errorf("warnings %v", got.Warnings)
	}
	again, err := machine.New(in)
	if err != nil || string(again.Mesh) != string(got.Mesh) || string(again.ClusterEnv) != string(got.ClusterEnv) {
		t.Errorf("not the same bytes again: %v", err)
	}

	variables, err := machine.Variables(got.ClusterEnv, got.Mesh)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"GREETING": `it's "me" $HOME`, "ISTIO_METAJSON_LABELS": labels, "ISTIO_SERVICE_CIDR": "*"} {
		if variables[name] != want {
			t.Errorf("%s is %q, want %q", name, variables[name], want)
		}
	}
	if !strings.Contains(variables["PROXY_CONFIG"], `"path":"/healthz"`) {
		t.Errorf("PROXY_CONFIG %s", variables["PROXY_CONFIG"])
	}
	// A shell reads the same.
	out, err := exec.Command("sh", "-c", string(got.ClusterEnv)+`printf %s "$GREETING"`).Output()
	if err != nil || string(out) != `it's "me" $HOME` {
		t.Errorf("a shell reads %q, %v", out, err)
	}
}

func TestFilesOfOthers(t *testing.T) {
	least := "metadata: {name: ratings, namespace: vm}"
	cases := map[string]struct {
		group, mesh string
		change      func(*machine.Input)
		// want are lines of the files, not those that must not be there.
		want, not []string
		warning   string
	}{
		"Least": {
			group: least,
			want:  []string{"ISTIO_INBOUND_PORTS='*'", "SERVICE_ACCOUNT=default", "TRUST_DOMAIN=cluster.local", "CANONICAL_SERVICE=ratings", "CANONICAL_REVISION=latest"},
			not:   []string{"AUTO_REGISTER", "DNS_CAPTURE", "SVC_IP", "CA_ADDR", "POD_PORTS", "DNS_DOMAIN"},
		},
		"Domain": {
			group: least, change: func(in *machine.Input) { in.Cluster.Domain = "corp.example" },
			want: []string{"ISTIO_META_DNS_DOMAIN=vm.svc.corp.example", "ISTIO_META_MESH_ID=other"},
		},
		"External": {
			group: least, change: func(in *machine.Input) { in.External = netip.MustParseAddr("203.0.113.7") },
			want: []string{"ISTIO_SVC_IP=203.0.113.7", "REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION=true"},
		},
		"Revision": {
			group: least, change: func(in *machine.Input) { in.ControlPlane = "istiod-green.istio-system.svc:15012" },
			want: []string{"CA_ADDR=istiod-green.istio-system.svc:15012", "discoveryAddress: istiod-green.istio-system.svc:15012"},
		},
		"OwnAddressOfDiscovery": {
			group: least, mesh: "defaultConfig: {discoveryAddress: 'istiod.elsewhere.example:15012'}",
			change: func(in *machine.Input) { in.ControlPlane = "istiod-green.istio-system.svc:15012" },
			want:   []string{"CA_ADDR=istiod-green.istio-system.svc:15012", "discoveryAddress: istiod.elsewhere.example:15012"},
		},
		"MeshOfTheDomain": {
			group: least, mesh: "trustDomain: west.shop.example", change: func(in *machine.Input) { in.Cluster.MeshID = "" },
			want: []string{"ISTIO_META_MESH_ID=west.shop.example", "TRUST_DOMAIN=west.shop.example"},
		},
		"LabelsOfKubernetes": {
			group: `{metadata: {name: ratings, namespace: vm}, spec: {metadata: {labels: {app: a, version: v1, app.kubernetes.io/name: k, app.kubernetes.io/version: v3}}}}`,
			want:  []string{"CANONICAL_SERVICE=k\n", "CANONICAL_REVISION=v3\n"},
		},
		"CanonicalLabels": {
			group: `{metadata: {name: ratings, namespace: vm}, spec: {metadata: {labels: {app: a, version: v1, app.kubernetes.io/name: k, app.kubernetes.io/version: v3, service.istio.io/canonical-name: c, service.istio.io/canonical-revision: r}}}}`,
			want:  []string{"CANONICAL_SERVICE=c\n", "CANONICAL_REVISION=r\n"},
		},
		// What is so of the group is so, whatever the mesh gives everybody.
		"NotTheMeshs": {
			group: least, mesh: "defaultConfig: {proxyMetadata: {SERVICE_ACCOUNT: root, ISTIO_NAMESPACE: kube-system, ISTIO_META_CLUSTER_ID: other, ISTIO_META_WORKLOAD_NAME: other, CANONICAL_SERVICE: other}}",
			want: []string{"\nSERVICE_ACCOUNT=default\n", "\nISTIO_NAMESPACE=vm\n", "\nISTIO_META_CLUSTER_ID=west\n", "\nISTIO_META_WORKLOAD_NAME=ratings\n", "\nCANONICAL_SERVICE=ratings\n"},
			not:  []string{"SERVICE_ACCOUNT=root", "ISTIO_NAMESPACE=kube-system", "CLUSTER_ID=other", "SERVICE_ACCOUNT: root", "CLUSTER_ID: other"},
		},
		"LabelsOfTheTemplate": {
			group:   `{metadata: {name: ratings, namespace: vm}, spec: {metadata: {labels: {app: a, x: "1"}}, template: {labels: {app: b}}}}`,
			want:    []string{"CANONICAL_SERVICE=b", `"x":"1"`},
			warning: "spec.template.labels",
		},
		"AnnotationOfTheGroup": {
			group: `{metadata: {name: ratings, namespace: vm, annotations: {proxy.istio.io/config: "{proxyMetadata: {A: outer, B: outer}}"}}, spec: {metadata: {annotations: {proxy.istio.io/config: "{proxyMetadata: {A: inner}}"}}}}`,
			want:  []string{"A=inner", "B=outer"},
		},
		"NotHonoured": {
			group:   `{metadata: {name: ratings, namespace: vm, annotations: {proxy.istio.io/config: "{statusPort: 1, proxyMetadata: {LD_PRELOAD: x}}"}}}`,
			not:     []string{"LD_PRELOAD"},
			warning: "statusPort",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			in := input(t, c.group, c.mesh)
			if c.change != nil {
				c.change(&in)
			}
			got, err := machine.New(in)
			if err != nil {
				t.Fatal(err)
			}
			files := string(got.ClusterEnv) + string(got.Mesh)
			for _, want := range c.want {
				if !strings.Contains(files, want) {
					t.Errorf("no %s in\n%s", want, files)
				}
			}
			for _, not := range c.not {
				if strings.Contains(files, not) {
					t.Errorf("%s in\n%s", not, files)
				}
			}
			if warnings := strings.Join(got.Warnings, "\n"); (warnings == "") != (c.warning == "") || !strings.Contains(warnings, c.warning) {
				t.Errorf("warnings %q, want %q", warnings, c.warning)
			}
		})
	}
}

func TestFilesErrors(t *testing.T) {
	for name, c := range map[string]struct{ group, err string }{
		"Probe":      {`{metadata: {name: a, namespace: b}, spec: {probe: {tcpSocket: {}}}}`, "spec.probe: tcpSocket.port is 0"},
		"Annotation": {`{metadata: {name: a, namespace: b, annotations: {proxy.istio.io/config: "{nothing: 1"}}}`, "metadata.annotations[proxy.istio.io/config]: not YAML"},
		"Unknown":    {`{metadata: {name: a, namespace: b}, spec: {metadata: {annotations: {proxy.istio.io/config: "[]"}}}}`, "spec.metadata.annotations[proxy.istio.io/config]: not a ProxyConfig"},
		"Lines":      {`{metadata: {name: a, namespace: b, annotations: {proxy.istio.io/config: '{proxyMetadata: {A: "b\nc"}}'}}}`, "proxyMetadata[A]"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := machine.New(input(t, c.group, "{}")); err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}

func TestVariables(t *testing.T) {
	cases := map[string]struct {
		env, mesh string
		want      map[string]string
		err       string
	}{
		"Empty":      {"", "", map[string]string{}, ""},
		"Plain":      {"A=b\n\n# said\n  C=\"d e\"\nF=''\nG=*\n", "", map[string]string{"A": "b", "C": "d e", "F": "", "G": "*"}, ""},
		"Parts":      {`A=b'c "d"'"e'f"g`, "", map[string]string{"A": `bc "d"e'fg`}, ""},
		"EnvFirst":   {"A=env", "defaultConfig: {proxyMetadata: {A: mesh, B: mesh}}", map[string]string{"A": "env", "B": "mesh", "PROXY_CONFIG": `{"proxyMetadata":{"A":"mesh","B":"mesh"}}`}, ""},
		"NoVariable": {"A=1\nexport B=2", "", nil, "cluster.env, line 2"},
		"NoName":     {"=1", "", nil, "cluster.env, line 1"},
		"Open":       {"A='b", "", nil, "cluster.env, line 1"},
		"Expanded":   {"A=$HOME", "", nil, "cluster.env, line 1"},
		"Words":      {"A=b c", "", nil, "cluster.env, line 1"},
		"Comment":    {"A=b#c", "", nil, "cluster.env, line 1"},
		"Quoted":     {`A="$(id)"`, "", nil, "cluster.env, line 1"},
		"NotYAML":    {"", "{", nil, "mesh.yaml"},
		"NoText":     {"", "defaultConfig: {proxyMetadata: {A: 1}}", nil, "proxyMetadata[A] is no text"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := machine.Variables([]byte(c.env), []byte(c.mesh))
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("error %v, want %q", err, c.err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
