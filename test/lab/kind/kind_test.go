// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/isthmesh/isthmesh/test/lab/layout"
	"github.com/isthmesh/isthmesh/test/lab/process"
	"github.com/isthmesh/isthmesh/test/lab/step"
	"github.com/isthmesh/isthmesh/test/lab/topology"
	"k8s.io/client-go/tools/clientcmd"
)

const external = `apiVersion: v1
kind: Config
clusters:
- {name: kind-west, cluster: {server: "https://127.0.0.1:40001"}}
contexts:
- {name: kind-west, context: {cluster: kind-west, user: kind-west}}
current-context: kind-west
users:
- {name: kind-west, user: {token: x}}
`

// machine stands for one with kind and Docker: it notes the commands and
// answers from a table.
type machine struct {
	commands []string
	answers  map[string]string
}

func (m *machine) run(_ context.Context, command ...string) ([]byte, error) {
	text := strings.Join(command, " ")
	m.commands = append(m.commands, text)
	for prefix, answer := range m.answers {
		if strings.HasPrefix(text, prefix) {
			return []byte(answer), nil
		}
	}
	return nil, nil
}

func (m *machine) start(_ string, command ...string) (process.Identity, error) {
	m.commands = append(m.commands, "start: "+strings.Join(command, " "))
	return process.Of(os.Getpid())
}

func provider(t *testing.T, existing string) (Provider, *machine) {
	t.Helper()
	lab := layout.Lab{Checkout: t.TempDir()}
	if err := os.MkdirAll(lab.Images(), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, image := range []string{"hub.tar", "hub.key", "lab-pause.tar"} {
		if err := os.WriteFile(filepath.Join(lab.Images(), image), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m := &machine{answers: map[string]string{
		"kind get clusters":   existing,
		"kind get kubeconfig": external,
		"docker inspect":      "172.18.0.2\n",
	}}
	return Provider{Lab: lab, Log: step.New(io.Discard, time.Now), Run: m.run, Start: m.start}, m
}

func TestUp(t *testing.T) {
	const rest = `kind get kubeconfig --name west
docker inspect --format {{.NetworkSettings.Networks.kind.IPAddress}} west-control-plane
start: LAB/bin/lab loadbalancer --kubeconfig LAB/west.kubeconfig
kind load image-archive LAB/images/hub.tar --name west`
	cases := map[string]struct{ existing, want string }{
		"New": {"", `kind get clusters --quiet
kind create cluster --config demo/west.yaml --name west --kubeconfig LAB/west/kind.kubeconfig --wait 5m
` + rest},
		"Existing": {"east\nwest\n", "kind get clusters --quiet\n" + rest},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p, m := provider(t, c.existing)
			if err := p.Up(t.Context(), []topology.Cluster{{Name: "west", Source: "demo/west.yaml"}}); err != nil {
				t.Fatal(err)
			}
			got := strings.ReplaceAll(strings.Join(m.commands, "\n"), p.Lab.Dir(), "LAB")
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			// The load balancer runs now, so a second time starts none.
			m.commands = nil
			if err := p.Up(t.Context(), []topology.Cluster{{Name: "west", Source: "demo/west.yaml"}}); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(strings.Join(m.commands, "\n"), "start:") {
				t.Errorf("started again: %q", m.commands)
			}
		})
	}
}

func TestDown(t *testing.T) {
	p, m := provider(t, "west\n")
	if err := p.Up(t.Context(), []topology.Cluster{{Name: "west", Source: "demo/west.yaml"}}); err != nil {
		t.Fatal(err)
	}
	// What it would end is this test; another process has the record instead.
	gone := process.Identity{PID: os.Getpid(), Boot: "another"}
	if err := gone.Write(p.record("west")); err != nil {
		t.Fatal(err)
	}
	m.commands = nil
	if err := p.Down(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	want := []string{"kind delete cluster --name west --kubeconfig LAB/west/kind.kubeconfig"}
	got := strings.ReplaceAll(strings.Join(m.commands, "\n"), p.Lab.Dir(), "LAB")
	if diff := cmp.Diff(want, strings.Split(got, "\n")); diff != "" {
		t.Error(diff)
	}
	left, err := filepath.Glob(filepath.Join(p.Lab.Dir(), "west*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

func TestKubeconfig(t *testing.T) {
	data, err := Kubeconfig("west", []byte(external), "172.18.0.2")
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.Load(data)
	if err != nil {
		t.Fatal(err)
	}
	if config.CurrentContext != "west" || len(config.Contexts) != 1 {
		t.Errorf("context %q of %v", config.CurrentContext, config.Contexts)
	}
	if got := config.Clusters["kind-west"].Server; got != "https://172.18.0.2:6443" {
		t.Errorf("server %s", got)
	}
	for name, c := range map[string]struct{ external, address string }{
		"NoAddress": {external, ""},
		"NotYAML":   {":", "172.18.0.2"},
		"NoContext": {"apiVersion: v1\nkind: Config\n", "172.18.0.2"},
	} {
		if _, err := Kubeconfig("west", []byte(c.external), c.address); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestUpWithoutKind(t *testing.T) {
	p, _ := provider(t, "")
	p.Run = func(context.Context, ...string) ([]byte, error) { return nil, errors.New("not found") }
	if err := p.Up(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "is kind installed") {
		t.Errorf("got %v", err)
	}
}
