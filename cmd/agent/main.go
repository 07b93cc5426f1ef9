// SPDX-License-Identifier: Apache-2.0

// Command isthmesh-agent runs in every proxy pod: it leads the pod's traffic
// through Envoy, runs Envoy, and ends it without cutting anybody off. Only
// this package reads the environment.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// version is set by the linker.
var version = "dev"

// exit carries an exit code out of a command.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	ctx = logr.NewContext(ctx, newLogger(os.Stderr))
	err := root().ExecuteContext(ctx)
	stop()
	var code exit
	switch {
	case err == nil:
	case errors.As(err, &code):
		os.Exit(int(code))
	default:
		_, _ = fmt.Fprintf(os.Stderr, "Error: %v\n", err)
		os.Exit(1)
	}
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use:           "isthmesh-agent",
		Short:         "Runs beside Envoy in every proxy pod",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	c.AddCommand(proxyCommand(), redirectCommand(), drainCommand(), waitCommand(), requestCommand())
	return c
}

// newLogger writes lines that a person can read, beside Envoy's own.
func newLogger(w io.Writer) logr.Logger {
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.ISO8601TimeEncoder
	config.EncodeDuration = zapcore.StringDurationEncoder
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(config), zapcore.AddSync(w), zap.InfoLevel)
	return zapr.NewLogger(zap.New(core))
}
