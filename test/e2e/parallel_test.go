// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"sync"
	"testing"
)

// atOnce is how many tests run at the same time, however few processors there are: most of
// what they do is wait, and one that waits for a lock must not keep out the one that holds it.
const atOnce = "4"

// What tests that run at the same time (t.Parallel) share. One that takes a lock before
// t.Parallel has it before those that take it afterwards.
var (
	// hubThere is held for reading by who needs the hub, and for writing by who takes it away.
	hubThere sync.RWMutex
	// soloMine is held by who has made the cluster solo.
	soloMine sync.Mutex
	// starting is held by who brings up a cluster: for one after the
	// other the machine is fast enough that those who measure notice nothing.
	starting sync.Mutex
)

// hold takes a lock and returns what gives it back, which happens at the latest when the test ends.
func hold(t *testing.T, lock sync.Locker) (release func()) {
	t.Helper()
	lock.Lock()
	release = sync.OnceFunc(lock.Unlock)
	t.Cleanup(release)
	return release
}
