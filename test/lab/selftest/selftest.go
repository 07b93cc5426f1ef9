// SPDX-License-Identifier: Apache-2.0

// Package selftest proves that the lab works on this machine: it brings up a
// cluster, uses it as a user would, switches it off and on, takes it down and
// looks for what is left. It comes last, and uses only what users have: the
// lab's commands, kubectl and the network.
package selftest

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/isthmesh/isthmesh/test/lab/cluster"
	"github.com/isthmesh/isthmesh/test/lab/machine"
	"github.com/isthmesh/isthmesh/test/lab/topology"
)

//go:embed objects.yaml
var objects string

// patience is how long each of the steps may take.
const patience = 10 * time.Minute

// test is one run, on one cluster.
type test struct {
	lab     cluster.Lab
	cluster topology.Cluster
}

// Run runs the test on a cluster that does not exist yet.
func Run(ctx context.Context, lab cluster.Lab, c topology.Cluster) error {
	if _, err := os.Stat(lab.Layout.Cluster(c.Name).Spec()); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the self test makes cluster %q, which exists: run `lab down %s` first", c.Name, c.Name)
	}
	t := test{lab: lab, cluster: c}
	err := t.use(ctx)
	// It is taken down even if we were told to end.
	return errors.Join(err, lab.Down(context.WithoutCancel(ctx), []string{c.Name}), t.nothingLeft())
}

func (t test) use(ctx context.Context) error {
	if err := t.lab.Up(ctx, []topology.Cluster{t.cluster}); err != nil {
		return err
	}
	address, err := t.cluster.NodeIP()
	if err != nil {
		return err
	}
	url := "http://" + address.String() + "/"
	steps := []struct {
		what string
		do   func(context.Context) error
	}{
		{"pods run", t.apply},
		{"the load balancer answers from the machine", func(ctx context.Context) error { return t.answers(ctx, url) }},
		{"kubectl exec: a pod calls a Service by its name", t.callByName},
		{"kubectl logs: the server's log has the call", t.logs},
		{"a token for istio-ca passes for that audience only", t.token},
		{"after a power cut", t.powerCut},
		{"the load balancer answers again", func(ctx context.Context) error { return t.answers(ctx, url) }},
		{"a Service that is no load balancer loses its address", t.clear},
	}
	for _, step := range steps {
		err := t.lab.Log.Do(t.cluster.Name+": "+step.what, func() error {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			return step.do(ctx)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func (t test) apply(ctx context.Context) error {
	if _, err := t.kubectl(ctx, objects, "apply", "-f", "-"); err != nil {
		return err
	}
	return t.available(ctx)
}

func (t test) available(ctx context.Context) error {
	for _, deployment := range []string{"deployment/echo", "deployment/client"} {
		if _, err := t.kubectl(ctx, "", "rollout", "status", deployment); err != nil {
			return err
		}
	}
	return nil
}

// answers waits until a URL answers with 200.
func (t test) answers(ctx context.Context, url string) error {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return until(ctx, func() error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", url, response.Status)
		}
		return nil
	})
}

// callByName waits until both pods answer: kube-proxy learns of them one by
// one.
func (t test) callByName(ctx context.Context) error {
	return until(ctx, func() error { return t.callOnce(ctx) })
}

func (t test) callOnce(ctx context.Context) error {
	const calls = 100
	out, err := t.kubectl(ctx, "", "exec", "deployment/client", "--",
		"/echo", "call", "--url=http://echo.default.svc.cluster.local/by-name", fmt.Sprint("--count=", calls), "--new-connections")
	if err != nil {
		return err
	}
	var summary struct {
		OK         int            `json:"ok"`
		ByHostname map[string]int `json:"byHostname"`
	}
	if err := json.Unmarshal([]byte(out), &summary); err != nil {
		return fmt.Errorf("summary %q: %w", out, err)
	}
	if summary.OK != calls || len(summary.ByHostname) != 2 {
		return fmt.Errorf("want %d answers from 2 pods, got %s", calls, out)
	}
	return nil
}

// logs waits until a call is in the log, which is written while calls go on.
func (t test) logs(ctx context.Context) error {
	return until(ctx, func() error {
		out, err := t.kubectl(ctx, "", "logs", "--selector=app=echo", "--tail=-1")
		if err != nil {
			return err
		}
		if !strings.Contains(out, `"path":"/by-name"`) {
			return fmt.Errorf("no call in the log: %q", out)
		}
		return nil
	})
}

func (t test) token(ctx context.Context) error {
	token, err := t.kubectl(ctx, "", "create", "token", "default", "--audience=istio-ca")
	if err != nil {
		return err
	}
	for audience, want := range map[string]bool{"istio-ca": true, "other": false} {
		review, err := json.Marshal(map[string]any{
			"apiVersion": "authentication.k8s.io/v1",
			"kind":       "TokenReview",
			"spec":       map[string]any{"token": strings.TrimSpace(token), "audiences": []string{audience}},
		})
		if err != nil {
			return err
		}
		out, err := t.kubectl(ctx, string(review), "create", "--filename=-", "--output=jsonpath={.status.authenticated} {.status.user.username}")
		if err != nil {
			return err
		}
		if got := strings.TrimSpace(out) == "true system:serviceaccount:default:default"; got != want {
			return fmt.Errorf("audience %s: the review says %q", audience, out)
		}
	}
	return nil
}

func (t test) powerCut(ctx context.Context) error {
	if err := t.lab.Stop(ctx, t.cluster.Name); err != nil {
		return err
	}
	if err := t.lab.Start(ctx, t.cluster.Name); err != nil {
		return err
	}
	return t.available(ctx)
}

func (t test) clear(ctx context.Context) error {
	if _, err := t.kubectl(ctx, "", "patch", "service", "echo", "--patch", `{"spec":{"type":"ClusterIP"}}`); err != nil {
		return err
	}
	return until(ctx, func() error {
		out, err := t.kubectl(ctx, "", "get", "service", "echo", "--output=jsonpath={.status.loadBalancer.ingress}")
		if err == nil && out != "" {
			err = fmt.Errorf("its address is still %s", out)
		}
		return err
	})
}

func (t test) nothingLeft() error {
	found, err := machine.Leftovers(t.lab.Layout, t.cluster.Name)
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("%s has left something behind:\n%s", t.cluster.Name, strings.Join(found, "\n"))
	}
	return err
}

// kubectl runs kubectl against the cluster and returns what it prints.
func (t test) kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, t.lab.Layout.Program("kubectl"),
		append([]string{"--kubeconfig=" + t.lab.Layout.Kubeconfig(t.cluster.Name)}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s%s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

// until tries again until there is no error or the context ends.
func until(ctx context.Context, try func() error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
