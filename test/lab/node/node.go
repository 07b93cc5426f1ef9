// SPDX-License-Identifier: Apache-2.0

// Package node is the first process of a cluster. `lab up` starts it in
// namespaces of its own (processes, mounts, network, host name); it makes them
// a node's, starts the cluster's components below itself, and tells in a file
// how they are. It comes after component. When it ends, the kernel ends every
// process and undoes every mount of the cluster, pods included: that is how a
// cluster is switched off, and why nothing is left behind.
package node

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/isthmesh/isthmesh/test/lab/component"
)

// Run is the life of the node: it returns only if the node cannot be set up.
// It begins when it can read a byte, which comes when the cable is plugged in.
func Run(ctx context.Context, spec component.Spec, plugged io.Reader) error {
	if os.Getpid() != 1 {
		return fmt.Errorf("node %s: is not the first process of its namespace: it is started by `lab up`", spec.Cluster.Name)
	}
	if _, err := io.ReadFull(plugged, make([]byte, 1)); err != nil {
		return fmt.Errorf("wait for the network: %w", err)
	}
	if err := isolate(spec); err != nil {
		return fmt.Errorf("isolate: %w", err)
	}
	if err := connect(ctx, spec); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	s := newSupervisor(spec.Dirs(), time.Now)
	components := component.List(spec)
	startAfter := func(stage component.Stage) error {
		for _, c := range components {
			if c.After != stage {
				continue
			}
			if err := s.start(c); err != nil {
				return err
			}
		}
		return nil
	}
	if err := startAfter(component.PoweredOn); err != nil {
		return err
	}
	go s.reap()
	ask, err := newQuestions(spec)
	if err != nil {
		return err
	}
	for _, stage := range []struct {
		component.Stage
		reached func(context.Context) error
	}{
		{component.EtcdAnswers, ask.etcdAnswers},
		{component.APIReady, ask.apiReady},
		{component.NodeRegistered, ask.nodeRegistered},
	} {
		if err := until(ctx, stage.reached); err != nil {
			return err
		}
		if err := startAfter(stage.Stage); err != nil {
			return err
		}
	}
	ask.client.CloseIdleConnections()
	select {}
}

// connect gives the node's end of the cable its address, and sets up what a
// node needs to forward for its pods.
func connect(ctx context.Context, spec component.Spec) error {
	for _, sysctl := range []struct{ path, value string }{
		{"/proc/sys/net/ipv4/ip_forward", "1"},
		{"/proc/sys/net/ipv4/conf/all/rp_filter", "0"},
		{"/proc/sys/net/ipv4/conf/default/rp_filter", "0"},
	} {
		if err := os.WriteFile(sysctl.path, []byte(sysctl.value), 0); err != nil {
			return err
		}
	}
	if err := configureLinks(spec); err != nil {
		return err
	}
	return Forward(ctx, spec)
}

// Forward sets how the pods reach what is outside their cluster. It acts on
// the network namespace it is run in, after the given command words, such as
// nsenter and its flags; it may be run again when the spec has changed.
func Forward(ctx context.Context, spec component.Spec, enter ...string) error {
	nft := append(append([]string(nil), enter...), "nft", "-f", "-")
	if err := run(ctx, strings.NewReader(component.MasqueradeRules(spec)), nft); err != nil {
		return err
	}
	for _, route := range component.Routes(spec) {
		if err := run(ctx, nil, append(append(append([]string(nil), enter...), "ip"), route...)); err != nil {
			return err
		}
	}
	return nil
}

func run(ctx context.Context, stdin io.Reader, command []string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin = stdin
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// ReadSpec reads the file that says what a cluster is.
func ReadSpec(path string) (component.Spec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return component.Spec{}, err
	}
	var spec component.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return component.Spec{}, fmt.Errorf("spec %s: %w", path, err)
	}
	return spec, nil
}
