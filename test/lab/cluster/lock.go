// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alone runs f while no other command changes the lab. The lock is the .lab
// folder's own, so nothing has to be cleaned up.
func (l Lab) alone(ctx context.Context, f func() error) error {
	if err := os.MkdirAll(l.Layout.Dir(), 0o755); err != nil {
		return err
	}
	dir, err := os.Open(l.Layout.Dir())
	if err != nil {
		return err
	}
	defer dir.Close()
	said := false
	for {
		err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f()
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("lock %s: %w", l.Layout.Dir(), err)
		}
		if !said {
			l.Log.Note("waiting for another lab command to end")
			said = true
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
