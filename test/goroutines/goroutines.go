// SPDX-License-Identifier: Apache-2.0

// Package goroutines makes the tests of a package fail when they leave goroutines running.
package goroutines

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience with what ends by itself: goleak alone waits for less than half a second,
// in which a busy machine doesn't end all connections.
const patience = time.Minute

// Verify runs the tests of a package and ends the process: with 1 when all
// passed and goroutines are left, which it prints.
func Verify(m *testing.M) {
	code := m.Run()
	if code == 0 {
		left := goleak.Find()
		for end := time.Now().Add(patience); left != nil && time.Now().Before(end); {
			left = goleak.Find()
		}
		if left != nil {
			fmt.Fprintln(os.Stderr, left)
			code = 1
		}
	}
	os.Exit(code)
}
