// SPDX-License-Identifier: Apache-2.0

// Command pause holds a pod's namespaces. It runs as the first process of the
// pod, and does nothing until it is told to end.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// As first process of a pod that shares its process namespace it inherits
	// children, and ignoring this signal makes the kernel collect them.
	signal.Ignore(syscall.SIGCHLD)
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGINT, syscall.SIGTERM)
	<-end
}
