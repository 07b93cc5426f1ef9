// SPDX-License-Identifier: Apache-2.0

// Command bookinfo is the programs that the samples of Istio's documentation
// run, in one binary: the four services of Bookinfo, helloworld, tcp-echo,
// httpbin, curl and sleep; and for tests load, which counts answers, and books,
// a service outside the mesh. Paths, ports, variables and the shape of answers
// are those of the samples, so that the upstream manifests and configurations
// run unchanged; `lab images --only samples` puts it into images of the names
// that the manifests have. A program is chosen by the name that the binary is
// called by, or else by the first argument.
package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// process is what a program gets of its surroundings.
type process struct {
	args           []string
	env            func(name string) string
	stdout, stderr io.Writer
}

// or is the value of a variable, or another one if it is not set.
func (p process) or(variable, otherwise string) string {
	if value := p.env(variable); value != "" {
		return value
	}
	return otherwise
}

// program runs until the context ends, or until it is done, and returns the exit status.
type program func(ctx context.Context, p process) int

var programs = map[string]program{
	"productpage": runProductpage,
	"details":     runDetails,
	"reviews":     runReviews,
	"ratings":     runRatings,
	"helloworld":  runHelloworld,
	"httpbin":     runHTTPBin,
	"tcp-echo":    runTCPEcho,
	"curl":        runCurl,
	"load":        runLoad,
	"books":       runBooks,
	"sleep": func(ctx context.Context, _ process) int {
		<-ctx.Done()
		return 0
	},
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	os.Exit(run(ctx, os.Args, os.Getenv, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	name, rest := filepath.Base(args[0]), args[1:]
	chosen, known := programs[name]
	if !known && len(rest) > 0 {
		name, rest = rest[0], rest[1:]
		chosen, known = programs[name]
	}
	if !known {
		fmt.Fprintf(stderr, "bookinfo: want a program: %s\n", strings.Join(slices.Sorted(maps.Keys(programs)), ", "))
		return 2
	}
	return chosen(ctx, process{args: rest, env: env, stdout: stdout, stderr: stderr})
}
