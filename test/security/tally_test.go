// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/isthmesh/isthmesh/test/security"
)

// tally of the cases that were executed at one place.
type tally struct{ toAllow, toDeny, byHand, wronglyAllowed, wronglyDenied int }

func (t *tally) add(o tally) {
	t.toAllow += o.toAllow
	t.toDeny += o.toDeny
	t.byHand += o.byHand
	t.wronglyAllowed += o.wronglyAllowed
	t.wronglyDenied += o.wronglyDenied
}

func (t *tally) cases() int { return t.toAllow + t.toDeny }

// count a case; false when the verdict is wrong.
func (t *tally) count(want, got int) bool {
	if want == security.Allowed {
		t.toAllow++
	} else {
		t.toDeny++
	}
	switch {
	case want == got:
		return true
	case got == security.Allowed:
		t.wronglyAllowed++
	default:
		t.wronglyDenied++
	}
	return false
}

func (t *tally) String() string {
	return fmt.Sprintf("%d cases on real Envoy (%d to allow, %d to deny; %d worked out by hand too): %d wrongly allowed, %d wrongly denied",
		t.cases(), t.toAllow, t.toDeny, t.byHand, t.wronglyAllowed, t.wronglyDenied)
}

// tallies by place.
var tallies = struct {
	mu sync.Mutex
	of map[string]*tally
}{of: map[string]*tally{}}

func record(place string, t tally) {
	tallies.mu.Lock()
	defer tallies.mu.Unlock()
	if tallies.of[place] == nil {
		tallies.of[place] = &tally{}
	}
	tallies.of[place].add(t)
}

// TestMain ends with the counts of each place.
func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	sum := tally{}
	for _, place := range slices.Sorted(maps.Keys(tallies.of)) {
		fmt.Printf("security: %s: %v\n", place, tallies.of[place])
		sum.add(*tallies.of[place])
	}
	if len(tallies.of) > 1 {
		fmt.Printf("security: all places: %v\n", &sum)
	}
	os.Exit(code)
}
