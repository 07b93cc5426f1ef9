// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package e2e shows on real clusters what users are promised. It runs on the
// clusters that the demo leaves (make end-to-end): hub, east and west, with
// catalog in east and a client in west.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// root of the checkout; go test runs in the package's folder.
var root = func() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
}()

func TestMain(m *testing.M) {
	for _, c := range []string{"hub", "east", "west"} {
		if _, err := os.Stat(kubeconfig(c)); err != nil {
			fmt.Fprintf(os.Stderr, "no cluster %q: %v\nRun `make demo` first, or `make end-to-end` for all of it.\n", c, err)
			os.Exit(1)
		}
	}
	flag.Parse()
	if err := flag.Set("test.parallel", atOnce); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func kubeconfig(cluster string) string {
	return filepath.Join(root, ".lab", cluster+".kubeconfig")
}

// patience is for all that must happen and isn't claimed to be quick: the machine may be busy
// with other things for minutes.
const patience = 5 * time.Minute

// run runs a command of .lab/bin or of the system and returns its stdout.
func run(ctx context.Context, stdin string, name string, args ...string) (string, error) {
	cmd := command(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), err
}

// command of .lab/bin or of the system, in the checkout.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	if built := filepath.Join(root, ".lab", "bin", name); fileExists(built) {
		name = built
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = root
	return cmd
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// try runs kubectl against a cluster. It works in a cleanup, too.
func try(t *testing.T, cluster string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 12*time.Minute)
	defer cancel()
	return run(ctx, "", "kubectl", append([]string{"--kubeconfig", kubeconfig(cluster)}, args...)...)
}

// kubectl is try that must work.
func kubectl(t *testing.T, cluster string, args ...string) string {
	t.Helper()
	out, err := try(t, cluster, args...)
	if err != nil {
		t.Fatalf("%s: %v", cluster, err)
	}
	return strings.TrimSpace(out)
}

// apply applies YAML and deletes it again when the test ends.
func apply(t *testing.T, cluster, objects string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := run(ctx, objects, "kubectl", "--kubeconfig", kubeconfig(cluster), "apply", "-f", "-"); err != nil {
		t.Fatalf("%s: %v", cluster, err)
	}
	t.Cleanup(func() { remove(t, cluster, objects) })
}

// remove deletes YAML; what is gone already is fine.
func remove(t *testing.T, cluster, objects string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := run(ctx, objects, "kubectl", "--kubeconfig", kubeconfig(cluster), "delete", "--ignore-not-found", "-f", "-")
	if err != nil {
		t.Errorf("%s: %v", cluster, err)
	}
}

// lab runs the lab command, which may have to compile, and to wait for another one.
func lab(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Minute)
	defer cancel()
	if out, err := run(ctx, "", "lab", args...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// eventually polls until check is nil, and fails the test when time is up. It
// returns how long it took.
func eventually(t *testing.T, within time.Duration, what string, check func() error) time.Duration {
	t.Helper()
	start := time.Now()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return time.Since(start)
		}
		select {
		case <-deadline.C:
			t.Fatalf("%s: not within %s: %v", what, within, err)
		case <-tick.C:
		}
	}
}

// quick wants what can be done again and again to take at most so long: the time that a round
// returns. A machine that stalls makes some rounds slow, a mesh that is slow makes each of them.
func quick(t *testing.T, what string, within time.Duration, round func() time.Duration) {
	t.Helper()
	var all []time.Duration
	for start := time.Now(); len(all) < 3 || time.Since(start) < patience; {
		took := round()
		if took <= within {
			return
		}
		all = append(all, took.Round(time.Millisecond))
		t.Logf("%s: %s, more than %s; once more", what, took, within)
	}
	t.Errorf("%s: more than %s each time: %v", what, within, all)
}

// summary is what the echo client prints.
type summary struct {
	Sent       int            `json:"sent"`
	OK         int            `json:"ok"`
	Failed     int            `json:"failed"`
	Statuses   map[string]int `json:"statuses"`
	ByHostname map[string]int `json:"byHostname"`
	Identities map[string]int `json:"identities"`
	Errors     []string       `json:"errors"`
	P99        float64        `json:"p99ms"`
	Slowest    float64        `json:"maxms"`
	// Last is when the last request reached a host, First when a status first came back.
	Last  map[string]time.Time `json:"last"`
	First map[string]time.Time `json:"first"`
}

// patient is for those who count lost calls: one that comes late isn't lost, and how late
// it came stands beside it.
const patient = "--timeout=30s"

// call runs the echo client in a deployment's pod.
func call(t *testing.T, cluster, namespace, deployment, url string, args ...string) (summary, error) {
	t.Helper()
	return callFrom(t.Context(), patience, cluster, namespace, "deployment/"+deployment, url, args...)
}

// callFrom runs the echo client in a pod, or in a pod of a deployment, for at most some time.
func callFrom(ctx context.Context, atMost time.Duration, cluster, namespace, pod, url string, args ...string) (summary, error) {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	out, err := run(ctx, "", "kubectl", append([]string{
		"--kubeconfig", kubeconfig(cluster), "-n", namespace, "exec", pod, "-c", "client", "--",
		"/echo", "call", "--url", url, "--timeout", "10s", "--out", "json",
	}, args...)...)
	var s summary
	if jsonErr := json.Unmarshal([]byte(out), &s); jsonErr != nil {
		return s, errors.Join(err, fmt.Errorf("answer %q: %w", out, jsonErr))
	}
	return s, err
}

// mustCall is call of which every request must succeed.
func mustCall(t *testing.T, cluster, namespace, deployment, url string, args ...string) summary {
	t.Helper()
	s, err := call(t, cluster, namespace, deployment, url, args...)
	if err != nil || s.Failed > 0 || s.OK == 0 {
		t.Fatalf("call %s from %s: %+v: %v", url, cluster, s, err)
	}
	return s
}

// answers is call once, as a check for eventually.
func answers(t *testing.T, cluster, url string) func() error {
	return func() error {
		s, err := call(t, cluster, "shop", "client", url, "--count", "1")
		if err == nil && s.OK != 1 {
			err = fmt.Errorf("%+v", s)
		}
		return err
	}
}
