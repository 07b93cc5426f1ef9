// SPDX-License-Identifier: Apache-2.0

// Command databases is version 2 of Bookinfo's ratings, which keeps the stars in
// a database, with the two databases that it may ask and a client for each. Both
// are spoken to in their own wire protocol. It is a module of its own so that
// what drivers and a database depend on never decides what the product uses.
//
// mysqldb is a MySQL server out of a library; mongodb understands those commands
// of MongoDB that the clients here send, and refuses all others by name. Both
// keep what they have in memory. A program is chosen by the name that the binary
// is called by, or else by the first argument; `lab images --only samples` puts
// it into images of the names that upstream's manifests have.
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

// program runs until the context ends, or until it is done.
type program func(ctx context.Context, p process) error

var programs = map[string]program{
	"ratings": runRatings,
	"mysqldb": runMySQL,
	"mongodb": runMongo,
	"mysql":   runMySQLClient,
	"mongosh": runMongoClient,
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
		fmt.Fprintf(stderr, "databases: want a program: %s\n", strings.Join(slices.Sorted(maps.Keys(programs)), ", "))
		return 2
	}
	if err := chosen(ctx, process{args: rest, env: env, stdout: stdout, stderr: stderr}); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}
