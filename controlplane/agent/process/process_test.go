// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"bytes"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/agent/process"
)

func TestArgs(t *testing.T) {
	got := process.Args(process.Options{Bootstrap: "/etc/istio/proxy/envoy.json", Concurrency: 2, DrainTime: 45 * time.Second, FlushInterval: time.Second, FlushKilobytes: 4, LogLevel: "warning", ComponentLogLevel: "misc:error"})
	want := []string{
		"-c", "/etc/istio/proxy/envoy.json", "--drain-time-s", "45", "--drain-strategy", "immediate", "--disable-hot-restart",
		"--file-flush-interval-msec", "1000", "--log-format", "%Y-%m-%dT%T.%fZ\t%l\tenvoy %n %g:%#\t%v\tthread=%t",
		"-l", "warning", "--file-flush-min-size-kb", "4", "--component-log-level", "misc:error", "--concurrency", "2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// shell runs a script in Envoy's place: its first argument is -c as well.
func shell(t *testing.T, script string, output *bytes.Buffer) *process.Envoy {
	t.Helper()
	e, err := process.Start(process.Options{Path: "/bin/sh", Bootstrap: script, LogLevel: "off", Output: output})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestCode(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		want   int
	}{
		"Zero":   {"exit 0", 0},
		"Own":    {"exit 3", 3},
		"Killed": {"kill -9 $$", 128 + 9},
	} {
		t.Run(name, func(t *testing.T) {
			e := shell(t, c.script, &bytes.Buffer{})
			<-e.Done()
			if e.Code() != c.want {
				t.Errorf("code %d, want %d", e.Code(), c.want)
			}
			if err := e.Signal(syscall.SIGTERM); err != nil {
				t.Errorf("signal after the end: %v", err)
			}
		})
	}
}

// TestEnvironment: Envoy has what it is given, and nothing of the agent's.
func TestEnvironment(t *testing.T) {
	t.Setenv("OF_THE_AGENT", "x")
	var output bytes.Buffer
	e, err := process.Start(process.Options{Path: "/bin/sh", Bootstrap: `echo "$GIVEN|$OF_THE_AGENT|"`, Environment: []string{"GIVEN=a b"}, Output: &output})
	if err != nil {
		t.Fatal(err)
	}
	<-e.Done()
	if got := strings.TrimSpace(output.String()); got != "a b||" {
		t.Errorf("environment %q", got)
	}
}

func TestNotThere(t *testing.T) {
	if _, err := process.Start(process.Options{Path: "/nowhere/envoy"}); err == nil || !strings.Contains(err.Error(), "start /nowhere/envoy") {
		t.Errorf("error %v", err)
	}
}

func TestStop(t *testing.T) {
	t.Run("Obeys", func(t *testing.T) {
		var output bytes.Buffer
		e := shell(t, "trap 'echo ends; exit 4' TERM; echo runs; while :; do sleep 0.05; done", &output)
		// The trap may not be set yet: then TERM itself ends it.
		if err := e.Stop(make(chan time.Time)); err != nil {
			t.Fatal(err)
		}
		if e.Code() != 4 && e.Code() != 128+15 {
			t.Errorf("code %d", e.Code())
		}
	})
	t.Run("Refuses", func(t *testing.T) {
		e := shell(t, "kill -STOP $$", &bytes.Buffer{})
		patience := make(chan time.Time)
		close(patience)
		if err := e.Stop(patience); err != nil {
			t.Fatal(err)
		}
		if e.Code() != 128+9 && e.Code() != 128+15 {
			t.Errorf("code %d", e.Code())
		}
	})
}
