// SPDX-License-Identifier: Apache-2.0

// Command lab makes real Kubernetes clusters on one machine, without Docker,
// and the images that run on them. See `lab help`.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/isthmesh/isthmesh/test/lab/cluster"
	"github.com/isthmesh/isthmesh/test/lab/layout"
	"github.com/isthmesh/isthmesh/test/lab/step"
	"github.com/spf13/cobra"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

// options are the flags of all commands.
type options struct {
	checkout string
}

func root() *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:           "lab",
		Short:         "Real Kubernetes clusters on one machine, without Docker",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.PersistentFlags().StringVar(&o.checkout, "checkout", ".", "a folder in the checkout whose .lab folder is used")
	cmd.AddCommand(
		packagesCommand(o), buildCommand(o), imagesCommand(o), samplesCommand(o), envoyCommand(o),
		upCommand(o), downCommand(o), stopCommand(o), startCommand(o), loadCommand(o), flatCommand(o),
		statusCommand(o), leftoversCommand(o), selftestCommand(o),
		nodeCommand(), loadBalancerCommand(),
	)
	return cmd
}

func (o *options) layout() (layout.Lab, error) { return layout.Find(o.checkout) }

func (o *options) log() *step.Log { return step.New(os.Stdout, time.Now) }

func (o *options) lab() (cluster.Lab, error) {
	where, err := o.layout()
	return cluster.Lab{Layout: where, Log: o.log(), Now: time.Now}, err
}
