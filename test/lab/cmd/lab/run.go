// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/isthmesh/isthmesh/test/lab/cluster"
	"github.com/isthmesh/isthmesh/test/lab/kind"
	"github.com/isthmesh/isthmesh/test/lab/layout"
	"github.com/isthmesh/isthmesh/test/lab/machine"
	"github.com/isthmesh/isthmesh/test/lab/process"
	"github.com/isthmesh/isthmesh/test/lab/topology"
	"github.com/spf13/cobra"
)

// run is what a command does with the lab that its options name.
func (o *options) run(do func(cmd *cobra.Command, lab cluster.Lab, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		lab, err := o.lab()
		if err != nil {
			return err
		}
		return do(cmd, lab, args)
	}
}

func upCommand(o *options) *cobra.Command {
	var dir, provider string
	cmd := &cobra.Command{
		Use:   "up [CLUSTER...]",
		Short: "Bring up the clusters of a topology, or only those that are named",
		Long: `Bring up the clusters of a topology, or only those that are named, and write
.lab/CLUSTER.kubeconfig for each. A cluster that is up is only checked. A named
cluster that the topology does not have is looked for in all of kind-configs.`,
		RunE: o.run(func(cmd *cobra.Command, lab cluster.Lab, names []string) error {
			clusters, err := wanted(lab.Layout, dir, names)
			if err != nil {
				return err
			}
			switch provider {
			case "kind":
				return onKind(lab).Up(cmd.Context(), clusters)
			case "lab":
				return lab.Up(cmd.Context(), clusters)
			}
			return unknownProvider(provider)
		}),
	}
	cmd.Flags().StringVar(&dir, "topology", "kind-configs/demo", "the folder of kind configs, relative to the checkout")
	providerFlag(cmd, &provider)
	return cmd
}

func providerFlag(cmd *cobra.Command, provider *string) {
	cmd.Flags().StringVar(provider, "provider", "lab", "who makes the clusters: lab, or kind where Docker is")
}

func onKind(lab cluster.Lab) kind.Provider {
	return kind.Provider{Lab: lab.Layout, Log: lab.Log, Run: kind.Run, Start: process.Start}
}

func unknownProvider(provider string) error {
	return fmt.Errorf("--provider %q: want lab or kind", provider)
}

// wanted returns the clusters to bring up.
func wanted(where layout.Lab, dir string, names []string) ([]topology.Cluster, error) {
	clusters, err := topology.ReadDir(resolve(where, dir))
	if err != nil || len(names) == 0 {
		return clusters, err
	}
	dirs, err := filepath.Glob(filepath.Join(where.Checkout, "kind-configs", "*"))
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		more, err := topology.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		clusters = append(clusters, more...)
	}
	return pick(clusters, names)
}

// pick returns the named clusters; the first of a name counts.
func pick(clusters []topology.Cluster, names []string) ([]topology.Cluster, error) {
	byName := map[string]topology.Cluster{}
	var known []string
	for _, c := range clusters {
		if _, found := byName[c.Name]; !found {
			byName[c.Name] = c
			known = append(known, c.Name)
		}
	}
	var picked []topology.Cluster
	for _, name := range names {
		c, found := byName[name]
		if !found {
			return nil, fmt.Errorf("no cluster %q in the kind configs: there are %s", name, strings.Join(known, ", "))
		}
		picked = append(picked, c)
	}
	return picked, topology.Check(picked)
}

func resolve(where layout.Lab, dir string) string {
	if filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join(where.Checkout, dir)
}

func downCommand(o *options) *cobra.Command {
	var provider string
	cmd := &cobra.Command{
		Use:   "down [CLUSTER...]",
		Short: "Remove clusters and all that was made for them",
		RunE: o.run(func(cmd *cobra.Command, lab cluster.Lab, names []string) error {
			switch provider {
			case "kind":
				return onKind(lab).Down(cmd.Context(), names)
			case "lab":
				return lab.Down(cmd.Context(), names)
			}
			return unknownProvider(provider)
		}),
	}
	providerFlag(cmd, &provider)
	return cmd
}

func stopCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "stop CLUSTER",
		Short: "Switch a cluster off, as a power cut would",
		Args:  cobra.ExactArgs(1),
		RunE: o.run(func(cmd *cobra.Command, lab cluster.Lab, args []string) error {
			return lab.Stop(cmd.Context(), args[0])
		}),
	}
}

func startCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "start CLUSTER",
		Short: "Switch a cluster on again, with its data",
		Args:  cobra.ExactArgs(1),
		RunE: o.run(func(cmd *cobra.Command, lab cluster.Lab, args []string) error {
			return lab.Start(cmd.Context(), args[0])
		}),
	}
}

func loadCommand(o *options) *cobra.Command {
	var provider string
	cmd := &cobra.Command{
		Use:   "load [CLUSTER...]",
		Short: "Load changed images into clusters",
		RunE: o.run(func(cmd *cobra.Command, lab cluster.Lab, names []string) error {
			switch provider {
			case "kind":
				return onKind(lab).Load(cmd.Context(), names)
			case "lab":
				return lab.Load(cmd.Context(), names)
			}
			return unknownProvider(provider)
		}),
	}
	providerFlag(cmd, &provider)
	return cmd
}

func flatCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "flat CLUSTER CLUSTER",
		Short: "Make two clusters one network: their pods reach each other",
		Args:  cobra.ExactArgs(2),
		RunE: o.run(func(cmd *cobra.Command, lab cluster.Lab, args []string) error {
			return lab.Flat(cmd.Context(), args[0], args[1])
		}),
	}
}

func statusCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Tell how the clusters are",
		Args:  cobra.NoArgs,
		RunE: o.run(func(cmd *cobra.Command, lab cluster.Lab, _ []string) error {
			return lab.Status(cmd.OutOrStdout())
		}),
	}
}

func leftoversCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "leftovers [CLUSTER...]",
		Short: "List what a lab has left on this machine; fail if there is anything",
		RunE: func(cmd *cobra.Command, names []string) error {
			where, err := o.layout()
			if err != nil {
				return err
			}
			if len(names) == 0 {
				names = []string{""}
			}
			count := 0
			for _, name := range names {
				found, err := machine.Leftovers(where, name)
				if err != nil {
					return err
				}
				for _, thing := range found {
					fmt.Fprintln(cmd.OutOrStdout(), thing)
				}
				count += len(found)
			}
			if count > 0 {
				return errors.New("the lab has left something behind: `lab down` removes it")
			}
			return nil
		},
	}
}
