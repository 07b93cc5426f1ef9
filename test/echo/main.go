// SPDX-License-Identifier: Apache-2.0

// Command echo is both ends of a call, for tests and for the demo: `echo serve`
// answers with what it saw of a request, `echo call` sends requests and counts
// the answers, and `echo wait` does nothing, so that something can be run
// beside it.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `echo answers with what it saw of a request, or sends requests.

  echo serve      answer HTTP, TCP and gRPC
  echo call       send HTTP or gRPC requests and print a summary as JSON
  echo tcp-call   open TCP connections, send a line on each, and print a summary
  echo wait       do nothing until told to end

Say echo COMMAND --help for the flags.
`

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit status: 0 if all went well, 1 if not, 2 if the command
// line was wrong.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	command := ""
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch command {
	case "serve":
		return serveCommand(ctx, args, stdout, stderr)
	case "call":
		return callCommand(ctx, args, stdout, stderr)
	case "tcp-call":
		return tcpCallCommand(ctx, args, stdout, stderr)
	case "wait":
		<-ctx.Done()
		return 0
	}
	fmt.Fprint(stderr, usage)
	return 2
}
