// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"fmt"
	"time"
)

// saveTimeout bounds one write, retrySave is the time after one that failed.
const (
	saveTimeout = 30 * time.Second
	lastSave    = 5 * time.Second
	retrySave   = 10 * time.Second
)

// Load reads the last imports from the Store and gives them to OnImports. Call
// it before serving and before Run. An error means that there is nothing to
// start from: the imports are not synced, which is not the same as empty.
func (c *Client) Load(ctx context.Context) error {
	if c.options.Store == nil {
		return nil
	}
	b, err := c.options.Store.Load(ctx)
	if err == nil && b == nil {
		return nil // nothing was ever kept
	}
	loaded := newImports(c.options.Member, c.options.Network)
	if err == nil {
		err = loaded.restore(c.options.Hub.ServerName, b)
	}
	c.mu.Lock()
	if err != nil {
		c.state.StoreError = err.Error()
		c.mu.Unlock()
		return err
	}
	c.imports, c.synced = loaded, true
	imports := c.imports.build()
	c.mu.Unlock()
	if c.options.OnImports != nil {
		c.options.OnImports(imports)
	}
	return nil
}

// saveLoop writes the imports to the Store some time after they changed: off
// the way of what is received, and not more often than SaveInterval.
func (c *Client) saveLoop(ctx context.Context) {
	if c.options.Store == nil {
		return
	}
	for {
		select {
		case <-c.save:
		case <-ctx.Done():
			return
		}
		// Replicas hear the same at the same time: chance keeps their writes apart.
		pause := c.options.SaveInterval + time.Duration(c.options.Rand()*float64(c.options.SaveInterval))
		timer := c.options.Clock.NewTimer(pause)
		select {
		case <-timer.C():
		case <-ctx.Done():
			// What came last is worth a last try.
			timer.Stop()
			rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSave)
			defer cancel()
			if err := c.saveNow(rest); err != nil {
				c.options.Log.Error(err, "The last imports were not kept")
			}
			return
		}
		if err := c.saveNow(ctx); err != nil && ctx.Err() == nil {
			c.options.Log.Error(err, "Imports were not kept; trying again", "in", retrySave)
			retry := c.options.Clock.NewTimer(retrySave)
			select {
			case <-retry.C():
			case <-ctx.Done():
				retry.Stop()
			}
			c.save.up()
		}
	}
}

func (c *Client) saveNow(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	c.mu.Lock()
	b, err := c.imports.snapshot(c.options.Hub.ServerName)
	c.mu.Unlock()
	if err == nil {
		err = c.options.Store.Save(ctx, b)
	}
	if err != nil {
		err = fmt.Errorf("keep the imports: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.StoreError = ""
	if err != nil {
		c.state.StoreError = err.Error()
	}
	return err
}
