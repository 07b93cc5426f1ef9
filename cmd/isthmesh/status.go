// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
)

// errNotReady makes the command fail after it has said what isn't ready.
var errNotReady = errors.New("not everything is ready")

type statusOptions struct {
	wait          bool
	timeout       time.Duration
	output        string
	allNamespaces bool
}

func newStatusCommand(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	var o statusOptions
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the federations of a hub and their members",
		Long:  "Show the federations of a hub and their members, and of what isn't ready the cause and the mend.\nThe exit code is 1 while something isn't ready.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), streams.Out, streams.ErrOut, access)
		},
	}
	cmd.Flags().BoolVar(&o.wait, "wait", false, "wait until everything is ready")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 5*time.Minute, "how long --wait waits")
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "json or yaml instead of text")
	cmd.Flags().BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "federations of all namespaces")
	return cmd
}

func (o *statusOptions) run(ctx context.Context, out, progress io.Writer, access *genericclioptions.ConfigFlags) error {
	if o.output != "" && o.output != "json" && o.output != "yaml" {
		return fmt.Errorf("--output %q: use json or yaml", o.output)
	}
	c, namespace, err := hubClient(access)
	if err != nil {
		return err
	}
	if o.allNamespaces {
		namespace = ""
	}
	feds, err := o.settle(ctx, progress, func() ([]federationState, error) { return readFederations(ctx, c, namespace) })
	if err != nil {
		return err
	}
	if err := o.print(out, feds); err != nil {
		return err
	}
	if len(feds) == 0 || slices.ContainsFunc(feds, func(f federationState) bool { return !f.ready() }) {
		return errNotReady
	}
	return nil
}

// settle reads once, or with --wait until everything is ready or time is up.
func (o *statusOptions) settle(ctx context.Context, progress io.Writer, read func() ([]federationState, error)) ([]federationState, error) {
	deadline, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	said, start := "", time.Now()
	for {
		feds, err := read()
		if err != nil {
			return nil, err
		}
		waiting := waitingFor(feds)
		if !o.wait || waiting == "" {
			return feds, nil
		}
		if waiting != said {
			said = waiting
			fmt.Fprintf(progress, "%4ds  waiting for %s\n", int(time.Since(start).Seconds()), waiting)
		}
		select {
		case <-deadline.Done():
			return feds, ctx.Err() // the caller prints what isn't ready
		case <-tick.C:
		}
	}
}

func (o *statusOptions) print(out io.Writer, feds []federationState) error {
	if o.output == "" {
		return writeTree(out, feds)
	}
	type item struct {
		Federation v1alpha1.MeshFederation `json:"federation"`
		Members    []v1alpha1.MeshMember   `json:"members"`
	}
	items := make([]item, 0, len(feds))
	for _, f := range feds {
		items = append(items, item{f.federation, f.members})
	}
	marshal := func(v any) ([]byte, error) { return json.MarshalIndent(v, "", "  ") }
	if o.output == "yaml" {
		marshal = yaml.Marshal
	}
	text, err := marshal(items)
	if err != nil {
		return fmt.Errorf("marshal status: %w", err)
	}
	_, err = fmt.Fprintln(out, string(text))
	return err
}

// readFederations reads the federations of a namespace ("" for all) with the members they select.
func readFederations(ctx context.Context, c client.Client, namespace string) ([]federationState, error) {
	var feds v1alpha1.MeshFederationList
	if err := c.List(ctx, &feds, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("list MeshFederations (is this the hub? see isthmesh install hub --help): %w", err)
	}
	var members v1alpha1.MeshMemberList
	if err := c.List(ctx, &members, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("list MeshMembers: %w", err)
	}
	out := make([]federationState, 0, len(feds.Items))
	for _, f := range feds.Items {
		selector, err := metav1.LabelSelectorAsSelector(&f.Spec.MemberSelector)
		if err != nil {
			return nil, fmt.Errorf("MeshFederation %s/%s: spec.memberSelector: %w", f.Namespace, f.Name, err)
		}
		state := federationState{federation: f}
		for _, m := range members.Items {
			if m.Namespace == f.Namespace && selector.Matches(labels.Set(m.Labels)) {
				state.members = append(state.members, m)
			}
		}
		out = append(out, state)
	}
	return out, nil
}

// hubClient makes a client of the cluster that the flags or the kubeconfig name.
func hubClient(access *genericclioptions.ConfigFlags) (client.Client, string, error) {
	cfg, err := access.ToRESTConfig()
	if err != nil {
		return nil, "", fmt.Errorf("kubeconfig: %w", err)
	}
	namespace, _, err := access.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, "", fmt.Errorf("kubeconfig: namespace: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, "", err
	}
	c, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, "", fmt.Errorf("reach the hub's API server %s: %w", cfg.Host, err)
	}
	return c, namespace, nil
}
