// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// mesh of a test: what it tells by itself, and of all, which costs time.
type toldMesh struct {
	own, all string
	looks    *int
	clock    *time.Time
}

func (m *toldMesh) Problems() []model.Problem { return named(m.own) }

func (m *toldMesh) AllProblems() []model.Problem {
	*m.looks++
	*m.clock = m.clock.Add(time.Second)
	return named(m.all)
}

func named(names string) []model.Problem {
	var out []model.Problem
	for _, n := range strings.Fields(names) {
		out = append(out, model.Problem{Name: n})
	}
	return out
}

// TestAbsent: what concerns proxies elsewhere is looked for as often as it is
// cheap, and what this replica's proxies see is never old.
func TestAbsent(t *testing.T) {
	clock, looks := time.Unix(1000, 0), 0
	a := &absent{now: func() time.Time { return clock }}
	for i, step := range []struct {
		later    time.Duration
		own, all string
		want     string
		looks    int
	}{
		{0, "a", "a b", "a b", 1},
		{time.Second, "c", "c d", "c b", 1}, // not yet again
		{time.Second, "b", "b d", "b", 1},
		{share * time.Second, "e", "e f", "e f", 2},
		{share * time.Second, "", "", "", 3},
	} {
		clock = clock.Add(step.later)
		var got []string
		for _, p := range a.problems(&toldMesh{step.own, step.all, &looks, &clock}) {
			got = append(got, p.Name)
		}
		if d := cmp.Diff(step.want, strings.Join(got, " ")); d != "" || looks != step.looks {
			t.Errorf("step %d after %d looks, want %d: -want +got:\n%s", i, looks, step.looks, d)
		}
	}
}
