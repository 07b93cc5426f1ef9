// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/isthmesh/isthmesh/controllers/install"
	"github.com/isthmesh/isthmesh/controllers/rootcert"
)

// leftBehind is what a hub installed in a member that has left without it.
const leftBehind = "member"

func newUninstallCommand(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	var definitions bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "uninstall {hub|mesh|member}",
		Short: "Remove what install has installed",
		Long: "Remove what install has installed. Custom resource definitions stay, and with them the objects of these kinds, unless --crds is given.\n" +
			"Delete MeshMembers before the hub, so that their clusters are cleaned, too. What a hub has left behind in a cluster that\n" +
			"it could not reach goes with: isthmesh uninstall member --kubeconfig <the cluster's>.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			return uninstall(ctx, args[0], definitions, streams, access)
		},
	}
	cmd.Flags().BoolVar(&definitions, "crds", false, "remove custom resource definitions, too, with all objects of their kinds")
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "how long to wait for objects to go")
	return cmd
}

func uninstall(ctx context.Context, bundle string, definitions bool, streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) error {
	namespace := "istio-system"
	if bundle != leftBehind {
		releases, ok := bundles[bundle]
		if !ok {
			return fmt.Errorf("unknown bundle %q: use one of %s, %s", bundle, bundleNames(), leftBehind)
		}
		namespace = releases[0].namespace
	}
	if given := *access.Namespace; given != "" {
		namespace = given
	}
	c, err := anyClient(access)
	if err != nil {
		return err
	}
	owner := cliOwner + "-" + bundle
	if bundle == leftBehind {
		inventory, err := install.ReadInventory(ctx, c, namespace)
		if err != nil {
			return err
		}
		if inventory == nil {
			fmt.Fprintf(streams.Out, "nothing is left of a hub in namespace %s\n", namespace)
			return nil
		}
		owner = inventory.Owner
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		left, err := install.Delete(ctx, c, namespace, install.DeleteOptions{
			Owner: owner, Definitions: definitions, RootConfigMap: rootcert.Name,
		})
		if err != nil {
			return err
		}
		if len(left.Going) == 0 {
			for _, o := range left.Kept {
				fmt.Fprintln(streams.Out, "kept", o)
			}
			fmt.Fprintf(streams.Out, "%s is gone from namespace %s\n", bundle, namespace)
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not gone in time: %s", strings.Join(left.Going, ", "))
		case <-tick.C:
		}
	}
}
