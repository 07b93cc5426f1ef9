// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"

	"github.com/isthmesh/isthmesh/test/lab/build"
	"github.com/isthmesh/isthmesh/test/lab/cluster"
	"github.com/isthmesh/isthmesh/test/lab/component"
	"github.com/isthmesh/isthmesh/test/lab/image"
	"github.com/isthmesh/isthmesh/test/lab/selftest"
	"github.com/spf13/cobra"
)

func buildCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "build",
		Short: "Install and build what clusters are made of",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			where, err := o.layout()
			if err != nil {
				return err
			}
			log := o.log()
			if err := build.Lab(cmd.Context(), where, log); err != nil {
				return err
			}
			_, err = image.Make(cmd.Context(), where, log, image.Options{Tag: component.Tag, Names: image.LabOnly})
			return err
		},
	}
}

func packagesCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "packages",
		Short: "Install the Debian packages that the machine lacks",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return build.Packages(cmd.Context(), o.log())
		},
	}
}

func imagesCommand(flags *options) *cobra.Command {
	var o image.Options
	var push string
	cmd := &cobra.Command{
		Use:   "images",
		Short: "Build the images into .lab/images, without Docker",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			where, err := flags.layout()
			if err != nil {
				return err
			}
			log := flags.log()
			recipes, err := image.Make(cmd.Context(), where, log, o)
			if err != nil || push == "" {
				return err
			}
			return image.Push(cmd.Context(), log, push, o.Tag, recipes)
		},
	}
	cmd.Flags().StringSliceVar(&o.Names, "only", nil, "build only these images, such as hub,echo")
	cmd.Flags().StringVar(&o.Tag, "tag", component.Tag, "the images' tag")
	cmd.Flags().StringVar(&o.LDFlags, "ldflags", "", "more linker flags for the product's programs, such as -X ...Version=v1")
	cmd.Flags().StringVar(&push, "push", "", "send the images to this registry, such as 127.0.0.1:5000")
	return cmd
}

func samplesCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "samples",
		Short: "Print the folder of Istio's samples, fetching them if they are not there",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			where, err := o.layout()
			if err != nil {
				return err
			}
			dir, err := build.Upstream(cmd.Context(), where)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), filepath.Join(dir, "samples"))
			return nil
		},
	}
}

func envoyCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "envoy",
		Short: "Fetch Envoy if it is not there, and print where it is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			where, err := o.layout()
			if err != nil {
				return err
			}
			path, err := build.Envoy(cmd.Context(), where)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), path)
			return nil
		},
	}
}

func selftestCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "selftest",
		Short: "Prove on a cluster of its own that the lab works here",
		Args:  cobra.NoArgs,
		RunE: o.run(func(cmd *cobra.Command, lab cluster.Lab, _ []string) error {
			clusters, err := wanted(lab.Layout, "kind-configs/single", []string{"solo"})
			if err != nil {
				return err
			}
			if _, err := image.Make(cmd.Context(), lab.Layout, lab.Log, image.Options{Tag: component.Tag, Names: []string{"echo"}}); err != nil {
				return err
			}
			return selftest.Run(cmd.Context(), lab, clusters[0])
		}),
	}
}
