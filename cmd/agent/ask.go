// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/isthmesh/isthmesh/controlplane/agent"
)

func drainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "drain",
		Short: "Make callers of the pod go elsewhere while it still serves (the preStop hook)",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), 5*time.Second)
			defer cancel()
			return ask(ctx, io.Discard, agent.StatusPort, http.MethodPost, "/drain")
		},
	}
}

func waitCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "wait",
		Short: "Wait until the pod's proxy is ready",
		Args:  cobra.NoArgs,
	}
	timeout := c.Flags().Duration("timeout", time.Minute, "how long to wait")
	every := c.Flags().Duration("period", 500*time.Millisecond, "pause between two questions")
	c.RunE = func(c *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(c.Context(), *timeout)
		defer cancel()
		for {
			err := ask(ctx, io.Discard, agent.StatusPort, http.MethodGet, "/healthz/ready")
			if err == nil {
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("the proxy is not ready after %s: %w", *timeout, err)
			case <-time.After(*every):
			}
		}
	}
	return c
}

func requestCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "request METHOD PATH",
		Short:   "Ask Envoy's administration interface in this pod",
		Example: "  isthmesh-agent request GET 'config_dump?resource=dynamic_listeners'\n  isthmesh-agent request POST 'logging?level=debug'",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return ask(c.Context(), c.OutOrStdout(), agent.AdminPort, args[0], "/"+strings.TrimPrefix(args[1], "/"))
		},
	}
}

// ask the agent or the Envoy that runs in this pod, and copy the answer.
func ask(ctx context.Context, out io.Writer, port uint16, method, path string) error {
	request, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		return fmt.Errorf("ask the proxy of this pod: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
		if err != nil {
			return fmt.Errorf("ask the proxy of this pod: %w", err)
		}
		return fmt.Errorf("the proxy of this pod answers %d: %s", response.StatusCode, strings.TrimSpace(string(body)))
	}
	if _, err := io.Copy(out, response.Body); err != nil {
		return fmt.Errorf("copy the answer: %w", err)
	}
	return nil
}
