// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"time"
)

func tcpCallCommand(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("echo tcp-call", flag.ContinueOnError)
	flags.SetOutput(stderr)
	address := flags.String("address", "", "what to connect to: HOST:PORT")
	line := flags.String("line", "hello", "what to send on each connection")
	timeout := flags.Duration("timeout", 5*time.Second, "how long one connection may take")
	p, out := paceFlags(flags)
	if err := flags.Parse(args); err != nil {
		return 2
	}
	_, _, err := net.SplitHostPort(*address)
	if err != nil {
		err = fmt.Errorf("--address %q: want HOST:PORT: %w", *address, err)
	}
	if err := errors.Join(err, p.check()); err != nil {
		fmt.Fprintln(stderr, "echo tcp-call:", err)
		return 2
	}
	send := func(ctx context.Context) result { return sendLine(ctx, *address, *line, *timeout) }
	return report(ctx, *p, send, *out, stdout, stderr)
}

// sendLine opens a connection, sends a line and reads the answer.
func sendLine(ctx context.Context, address, line string, timeout time.Duration) result {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return failure(err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return failure(err)
	}
	if _, err := fmt.Fprintln(conn, line); err != nil {
		return failure(err)
	}
	text, err := bufio.NewReader(conn).ReadBytes('\n')
	if err != nil {
		return failure(fmt.Errorf("read the answer: %w", err))
	}
	var answer Answer
	if err := json.Unmarshal(text, &answer); err != nil {
		return failure(fmt.Errorf("answer %q: %w", text, err))
	}
	return result{status: "OK", answer: &answer}
}
