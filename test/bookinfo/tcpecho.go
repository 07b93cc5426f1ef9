// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
)

// runTCPEcho sends each line back with a word before it. Its arguments are the
// ports and the word.
func runTCPEcho(ctx context.Context, p process) int {
	if len(p.args) != 2 {
		fmt.Fprintln(p.stderr, "tcp-echo: want PORT[,PORT...] WORD")
		return 2
	}
	for port := range strings.SplitSeq(p.args[0], ",") {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("", port))
		if err != nil {
			fmt.Fprintln(p.stderr, "tcp-echo:", err)
			return 1
		}
		defer listener.Close()
		fmt.Fprintf(p.stdout, "tcp-echo answers on %s with %q\n", listener.Addr(), p.args[1])
		go echoLines(listener, p.args[1])
	}
	<-ctx.Done()
	return 0
}

// echoLines answers until the listener is closed.
func echoLines(listener net.Listener, word string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			lines := bufio.NewReader(conn)
			for {
				line, err := lines.ReadString('\n')
				if err != nil {
					return
				}
				if _, err := fmt.Fprintf(conn, "%s %s", word, line); err != nil {
					return
				}
			}
		}()
	}
}
