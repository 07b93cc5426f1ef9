// SPDX-License-Identifier: Apache-2.0

// Command isthmesh installs Isthmesh and looks at what it does. Installed as
// kubectl-isthmesh it is a plugin of kubectl.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctrllog.SetLogger(logr.Discard()) // what there is to say is printed, not logged
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	if err := newCommand(streams).ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "isthmesh:", err)
		os.Exit(1)
	}
}

// newCommand is the whole command line.
func newCommand(streams genericiooptions.IOStreams) *cobra.Command {
	root := &cobra.Command{
		Use:           "isthmesh",
		Short:         "Make many Kubernetes clusters one service mesh",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	access := genericclioptions.NewConfigFlags(true)
	access.AddFlags(root.PersistentFlags())
	root.AddCommand(
		newInstallCommand(streams, access),
		newUninstallCommand(streams, access),
		newStatusCommand(streams, access),
		newKubeInjectCommand(streams, access),
		newTranslateCommand(),
		newValidateCommand(),
		newAnalyzeCommand(access),
		newWorkloadCommand(streams, access),
		newExperimentalCommand(streams, access),
		newVersionCommand(streams),
	)
	return root
}
