// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/scenario"
	"github.com/isthmesh/isthmesh/test/simulate"
)

var update = flag.Bool("update", false, "rewrite the answers of each scenario in testdata")

// TestScenarios takes the mesh of each file (part "mesh", lines of package
// scenario; or part "objects.yaml", with "settings.yaml" beside it; or both: then
// the objects are configuration for the mesh of the lines), asks what
// part "ask" asks, and compares with part "answer". Questions:
//
//	call from=shop/client to=reviews:80 [host=...] [payload=http/1.1|h2c|bytes|tls] [sni=...]
//	  [method=...] [scheme=...] [path=/...] [header.NAME=...] [pick=N]
//	request ... (as call; the answer is what becomes of the request only)
//	receive at=shop/reviews-1 port=8080 [payload=...] [alpn=istio,...] [peer=shop/client]
//	enter at=edge/gateway-1 port=443 [host=...] [path=/...] [sni=...] [peer=shop/client] (at an ingress or egress gateway)
//	gateway sni=outbound_.80_._.reviews.shop.svc.cluster.local [payload=...]
//	show from=shop/client cds NAME
//	limit from=shop/client CLUSTER
//	order from=shop/client CLUSTER
//	pool from=shop/client CLUSTER
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { runScenario(t, file) })
	}
}

func runScenario(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string][]byte{}
	for _, f := range archive.Files {
		parts[f.Name] = f.Data
	}
	m := meshOf(t, parts)
	s := snapshot.Build(m, nil)
	var got strings.Builder
	for _, p := range s.Problems() {
		fmt.Fprintf(&got, "problem %s %s/%s %s: %s\n", p.Kind, p.Namespace, p.Name, p.Reason, p.Message)
	}
	for _, q := range strings.Split(strings.TrimSpace(string(parts["ask"])), "\n") {
		answer, err := ask(m, s, q)
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		fmt.Fprintf(&got, "%s\n", q)
		for line := range strings.Lines(answer) {
			got.WriteString("\t" + line)
		}
	}
	if *update {
		archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name == "answer" })
		archive.Files = append(archive.Files, txtar.File{Name: "answer", Data: []byte(got.String())})
		if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(string(parts["answer"]), got.String()); d != "" {
		t.Errorf("the answers differ (-want +got); go test -update rewrites them:\n%s", d)
	}
}

func meshOf(t *testing.T, parts map[string][]byte) *model.Mesh {
	t.Helper()
	objects, ok := parts["objects.yaml"]
	if !ok {
		return mesh(t, string(parts["mesh"]))
	}
	if lines, ok := parts["mesh"]; ok {
		m := mesh(t, string(lines))
		c := built(t, objects, parts["settings.yaml"])
		m.Routings, m.Policies, m.Scopes, m.Gateways, m.Patches, m.Problems = c.Routings, c.Policies, c.Scopes, c.Gateways, c.Patches, c.Problems
		m.Credentials = c.Credentials
		return m
	}
	m := built(t, objects, parts["settings.yaml"])
	// The same loggers would be written out in each listener.
	m.Settings.StandardMetrics = false
	return m
}

// built of objects by ingest.
func built(t *testing.T, objects, settings []byte) *model.Mesh {
	t.Helper()
	read, err := manifest.Read(objects)
	if err != nil {
		t.Fatal(err)
	}
	read.Settings = model.Settings{RootNamespace: "istio-system", DomainSuffix: "cluster.local", TrustDomain: "cluster.local"}
	if err := yaml.UnmarshalStrict(settings, &read.Settings); err != nil {
		t.Fatal(err)
	}
	return ingest.Build(read.Input, nil).Mesh
}

func ask(m *model.Mesh, s *snapshot.Snapshot, question string) (string, error) {
	words := strings.Fields(question)
	pairs := map[string]string{}
	for _, w := range words[1:] {
		k, v, _ := strings.Cut(w, "=")
		pairs[k] = v
	}
	c := simulate.Call{
		Payload: simulate.HTTP1, ServerName: pairs["sni"],
		Method: pairs["method"], Scheme: pairs["scheme"], Path: pairs["path"], Headers: map[string]string{},
	}
	c.Pick, _ = strconv.Atoi(pairs["pick"])
	for k, v := range pairs {
		if name, ok := strings.CutPrefix(k, "header."); ok {
			c.Headers[name] = v
		}
	}
	if p := pairs["payload"]; p != "" {
		c.Payload = simulate.Payload(p)
	}
	if a := pairs["alpn"]; a != "" {
		c.ALPN = strings.Split(a, ",")
		c.Payload = simulate.TLS
	}
	if p := pairs["peer"]; p != "" {
		namespace, account, _ := strings.Cut(p, "/")
		c.Peer = fmt.Sprintf("spiffe://%s/ns/%s/sa/%s", m.Settings.TrustDomain, namespace, account)
	}
	switch words[0] {
	case "call", "request":
		namespace, _, _ := strings.Cut(pairs["from"], "/")
		host, port, _ := strings.Cut(pairs["to"], ":")
		address, err := scenario.Resolve(m, namespace, host)
		if err != nil {
			return "", err
		}
		if c.To, err = netip.ParseAddrPort(address.String() + ":" + port); err != nil {
			return "", err
		}
		c.Host = pairs["to"]
		if h := pairs["host"]; h != "" {
			c.Host = h
		}
		result := simulate.Outbound(s.View(sidecarOf(s, pairs["from"])), c)
		if words[0] == "request" {
			return result.Said(), nil
		}
		return result.String(), nil
	case "receive":
		var err error
		if c.To, err = netip.ParseAddrPort("127.0.0.1:" + pairs["port"]); err != nil {
			return "", err
		}
		return simulate.Inbound(s.View(sidecarOf(s, pairs["at"])), c).String(), nil
	case "gateway":
		if pairs["payload"] == "" {
			c.Payload = simulate.TLS
		}
		return simulate.Gateway(s.View(eastWest), c).String(), nil
	case "enter":
		port, err := strconv.ParseUint(pairs["port"], 10, 16)
		if err != nil {
			return "", err
		}
		if c.Host = pairs["host"]; pairs["sni"] != "" || pairs["peer"] != "" {
			c.Payload = simulate.TLS
		}
		c.Bind = pairs["bind"]
		result := simulate.Ingress(s.View(proxyOf(s, pairs["at"])), uint16(port), c)
		return result.String(), nil
	case "limit":
		return limit(s, pairs["from"], words[len(words)-1])
	case "order":
		return order(s, pairs["from"], words[len(words)-1])
	case "pool":
		return pool(s, pairs["from"], words[len(words)-1])
	case "show":
		return show(s, pairs["from"], words[len(words)-2], words[len(words)-1])
	}
	return "", fmt.Errorf("nothing is known about %q", words[0])
}

var eastWest = &model.Proxy{Type: model.Router, Labels: map[string]string{"istio.io/gateway-kind": "east-west"}}

// sidecarOf a pod; of a pod that is not known yet when there is none.
func sidecarOf(s *snapshot.Snapshot, pod string) *model.Proxy {
	namespace, name, _ := strings.Cut(pod, "/")
	return &model.Proxy{Type: model.Sidecar, Namespace: namespace, Name: name, Workload: s.Workload(namespace, name)}
}

// proxyOf a pod: a gateway's when the pod has label istio.
func proxyOf(s *snapshot.Snapshot, pod string) *model.Proxy {
	p := sidecarOf(s, pod)
	if p.Workload != nil && p.Workload.Labels["istio"] != "" {
		p.Type, p.Labels = model.Router, p.Workload.Labels
	}
	return p
}

// limit of connections to a cluster, which tells policies apart.
func limit(s *snapshot.Snapshot, from, name string) (string, error) {
	r := s.View(sidecarOf(s, from)).Get(envoy.ClusterType, name)
	if r == nil {
		return "there is none\n", nil
	}
	m, err := r.Message()
	if err != nil {
		return "", err
	}
	c, ok := m.(*clusterv3.Cluster)
	if !ok {
		return "", fmt.Errorf("%s is a %T", name, m)
	}
	return fmt.Sprintln(c.GetCircuitBreakers().GetThresholds()[0].GetMaxConnections().GetValue()), nil
}

func show(s *snapshot.Snapshot, from, kind, name string) (string, error) {
	p := eastWest
	if from != "" {
		p = proxyOf(s, from)
	}
	types := map[string]string{
		"cds": envoy.ClusterType, "eds": envoy.EndpointType, "lds": envoy.ListenerType, "rds": envoy.RouteType, "nds": envoy.NameTableType,
		"sds": envoy.SecretType,
	}
	r := s.View(p).Get(types[kind], name)
	if r == nil {
		return "there is none\n", nil
	}
	text, err := r.JSON()
	if err != nil {
		return "", err
	}
	text, err = yaml.JSONToYAML(text)
	return string(text), err
}
