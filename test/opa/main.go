// SPDX-License-Identifier: Apache-2.0

// Command opa is a sample of an external authorizer: policies of the Open
// Policy Agent decide on calls. It speaks both protocols that CUSTOM policies
// know, Envoy's gRPC (ext_authz v3) and HTTP. Policies see what they see in
// OPA's own plugin for Envoy, so those written for it run unchanged.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "opa:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("opa", flag.ContinueOnError)
	files := flags.String("policy", "", "files and folders of Rego and data, separated by commas")
	query := flags.String("query", "data.envoy.authz.allow", "what decides: a boolean, or an object with allowed")
	rpc := flags.String("grpc", ":9191", "address of the gRPC authorizer")
	web := flags.String("http", ":9192", "address of the HTTP authorizer")
	prefix := flags.String("http-prefix", "", "what the provider's pathPrefix adds to paths")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *files == "" {
		return errors.New("no policy: name a file of Rego with --policy")
	}
	policy, err := load(ctx, strings.Split(*files, ","), *query)
	if err != nil {
		return err
	}
	var listen net.ListenConfig
	first, err := listen.Listen(ctx, "tcp", *rpc)
	if err != nil {
		return err
	}
	second, err := listen.Listen(ctx, "tcp", *web)
	if err != nil {
		return errors.Join(err, first.Close())
	}
	return serve(ctx, policy, first, second, *prefix)
}

// serve both protocols, gRPC on the first listener, until the context ends.
func serve(ctx context.Context, policy *Policy, first, second net.Listener, prefix string) (err error) {
	g := grpc.NewServer()
	authv3.RegisterAuthorizationServer(g, &checker{policy: policy})
	healthv1.RegisterHealthServer(g, health.NewServer())
	h := &http.Server{Handler: handler{policy: policy, prefix: prefix}, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 2)
	go func() { failed <- g.Serve(first) }()
	go func() { failed <- h.Serve(second) }()
	slog.Info("serving", "grpc", first.Addr().String(), "http", second.Addr().String())
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	g.Stop()
	return errors.Join(err, h.Close())
}
