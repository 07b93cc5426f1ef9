// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"

	"github.com/isthmesh/isthmesh/test/lab/loadbalancer"
	"github.com/isthmesh/isthmesh/test/lab/node"
	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// nodeCommand is what `lab up` starts once per cluster.
func nodeCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:    "node",
		Short:  "Be the first process of a cluster",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			spec, err := node.ReadSpec(path)
			if err != nil {
				return err
			}
			// The starter holds the other end until the cable is plugged in.
			return node.Run(cmd.Context(), spec, os.NewFile(3, "plugged"))
		},
	}
	cmd.Flags().StringVar(&path, "spec", "", "the file that says what the cluster is")
	return cmd
}

// loadBalancerCommand is one of the components that a node starts.
func loadBalancerCommand() *cobra.Command {
	var kubeconfig string
	cmd := &cobra.Command{
		Use:    "loadbalancer",
		Short:  "Give Services of type LoadBalancer the node's address",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			if err != nil {
				return err
			}
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return err
			}
			return loadbalancer.Run(cmd.Context(), client, func(err error) { fmt.Fprintln(os.Stderr, err) })
		},
	}
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "the kubeconfig of the cluster")
	return cmd
}
