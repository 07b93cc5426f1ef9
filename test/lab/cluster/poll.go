// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/isthmesh/isthmesh/test/lab/layout"
)

// poll asks again and again until ready returns nil. It gives up when the
// context ends, or as soon as a component of the cluster has ended.
func poll(ctx context.Context, d layout.Cluster, what string, every time.Duration, ready func(context.Context) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		if dead := health(d); dead != nil {
			return dead
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: waited in vain for %s: %w", d.Name, what, err)
		case <-tick.C:
		}
	}
}
