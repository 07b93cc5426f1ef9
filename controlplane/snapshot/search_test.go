// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	_ "github.com/isthmesh/isthmesh/test/fixedseed" // the same meshes each time
)

// look for the culprits among objects with the names a, b, c, ... of which two
// things may stand in each; bad need the second. It returns who was found, and
// how many answers that took.
func look(n int, bad, worse map[string]bool) (guilty []string, answers int, last verdict) {
	var steps []step
	for stage := range 2 {
		for i := range n {
			steps = append(steps, step{object{name: string(rune('a' + i))}, standIn{how: how(stage)}})
		}
	}
	aside := map[string]how{}
	has := map[string]bool{}
	s := newSearch(steps, nil)
	for s != nil {
		shown := map[string]how{}
		here := map[string]bool{}
		for name, h := range aside {
			shown[name], here[name] = h, true
		}
		for _, t := range s.shown() {
			shown[t.of.name], here[t.of.name] = t.how, true
		}
		accepts := true
		for name := range bad {
			accepts = accepts && here[name]
		}
		for name := range worse {
			accepts = accepts && here[name] && shown[name] == asNothing
		}
		answers++
		was := s.shown()
		s, last = s.answered(accepts)
		if last == found {
			t := was[len(was)-1]
			aside[t.of.name], has[t.of.name] = t.how, true
			guilty = append(guilty, fmt.Sprintf("%s%d", t.of.name, t.how))
		}
	}
	slices.Sort(guilty)
	return guilty, answers, last
}

// TestSearch finds those to blame, in few answers when the likeliest is guilty.
func TestSearch(t *testing.T) {
	set := func(names string) map[string]bool {
		out := map[string]bool{}
		for _, n := range strings.Fields(names) {
			out[n] = true
		}
		return out
	}
	for name, test := range map[string]struct {
		n          int
		bad, worse string
		want       string
		answers    int
		last       verdict
	}{
		"TheOnlyOne":   {n: 1, bad: "a", want: "a0", answers: 1, last: found},
		"TheLikeliest": {n: 20, bad: "a", want: "a0", answers: 1, last: found},
		"TheSecond":    {n: 20, bad: "b", want: "b0", answers: 3, last: innocent},
		"TheLast":      {n: 16, bad: "p", want: "p0", answers: 11, last: innocent},
		"Two":          {n: 8, bad: "a d", want: "a0 d0", answers: 7, last: found},
		"All":          {n: 2, bad: "a b", want: "a0 b0", answers: 4, last: found},
		"More":         {n: 1, worse: "a", want: "a1", answers: 3, last: found},
		"Nobody":       {n: 5, bad: "z", want: "", answers: 5, last: hopeless},
	} {
		t.Run(name, func(t *testing.T) {
			got, answers, last := look(test.n, set(test.bad), set(test.worse))
			if d := cmp.Diff(test.want, strings.Join(got, " ")); d != "" {
				t.Errorf("guilty -want +got:\n%s", d)
			}
			if answers > test.answers || last != test.last {
				t.Errorf("it took %d answers, want at most %d; the last verdict is %d, want %d", answers, test.answers, last, test.last)
			}
		})
	}
}

// TestSearchFindsAll: whoever is guilty is found, nobody else is, and it ends soon.
func TestSearchFindsAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 26).Draw(t, "objects")
		bad, worse := map[string]bool{}, map[string]bool{}
		var want []string
		for i := range n {
			name := string(rune('a' + i))
			switch rapid.IntRange(0, 5).Draw(t, name) {
			case 4:
				bad[name], want = true, append(want, name+"0")
			case 5:
				worse[name], want = true, append(want, name+"1")
			}
		}
		if len(want) == 0 {
			return
		}
		got, answers, _ := look(n, bad, worse)
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("guilty -want +got:\n%s", d)
		}
		if most := 10 + 12*len(want); answers > most {
			t.Fatalf("%d answers for %d of %d objects", answers, len(want), n)
		}
	})
}

// TestSearchThatIsDisturbed begins again: it refuses what it accepted.
func TestSearchThatIsDisturbed(t *testing.T) {
	steps := []step{{of: object{name: "a"}}, {of: object{name: "b"}}}
	s := newSearch(steps, nil)
	s, _ = s.answered(false)
	s, is := s.answered(true) // both
	if is != found {
		t.Fatalf("verdict %d", is)
	}
	s, is = s.answered(true) // without giving a back it is as before
	if is != innocent || s != nil {
		t.Fatalf("verdict %d", is)
	}
	s = newSearch(append(steps, step{of: object{name: "c"}}, step{of: object{name: "d"}}), nil)
	for i, accepted := range []bool{false, false, true, false} {
		if s, is = s.answered(accepted); is != goingOn {
			t.Fatalf("answer %d: verdict %d", i, is)
		}
	}
	// It is shown once more what it accepted, before anybody is found guilty.
	if s.at != 4 {
		t.Fatalf("shown are %d", s.at)
	}
	if _, is = s.answered(false); is != muddled {
		t.Fatalf("verdict %d", is)
	}
}

// TestSearchWithout: objects that change while they are on trial are left out, the
// search goes on with the others, and nobody is blamed for one that is gone.
func TestSearchWithout(t *testing.T) {
	for name, test := range map[string]struct {
		n     int
		bad   string
		after int    // answers, then
		gone  string // changes
		want  string
	}{
		"TheRestIsSearched":    {n: 8, bad: "g", after: 2, gone: "a", want: "g0"},
		"BeyondWhatIsShown":    {n: 8, bad: "b", after: 1, gone: "g", want: "b0"},
		"TheCulprit":           {n: 8, bad: "f", after: 1, gone: "f", want: ""},
		"TheCulpritThatIsSeen": {n: 8, bad: "a", after: 0, gone: "a", want: ""},
		"TheCulpritWhenFound":  {n: 8, bad: "c", after: 3, gone: "c", want: ""},
		"OneOfTwoCulprits":     {n: 8, bad: "b e", after: 2, gone: "e", want: "b0"},
		"Everybody":            {n: 2, bad: "b", after: 1, gone: "a b", want: ""},
		"AnotherThanThose":     {n: 8, bad: "d", after: 2, gone: "z", want: "d0"},
	} {
		t.Run(name, func(t *testing.T) {
			var steps []step
			for i := range test.n {
				steps = append(steps, step{of: object{name: string(rune('a' + i))}})
			}
			bad, gone := strings.Fields(test.bad), map[object]bool{}
			for _, n := range strings.Fields(test.gone) {
				gone[object{name: n}] = true
			}
			var guilty []string
			aside := map[string]bool{}
			s := newSearch(steps, nil)
			for answers := 0; s != nil; answers++ {
				if answers == test.after {
					s = s.without(gone)
					bad = slices.DeleteFunc(bad, func(n string) bool { return gone[object{name: n}] })
					continue
				}
				if answers > 100 {
					t.Fatal("it doesn't end")
				}
				accepts := !slices.ContainsFunc(bad, func(n string) bool {
					return !aside[n] && !slices.ContainsFunc(s.shown(), func(t step) bool { return t.of.name == n })
				})
				shown := s.shown()
				var is verdict
				if s, is = s.answered(accepts); is == found {
					last := shown[len(shown)-1].of.name
					aside[last], guilty = true, append(guilty, last+"0")
				}
			}
			if d := cmp.Diff(test.want, strings.Join(guilty, " ")); d != "" {
				t.Errorf("guilty -want +got:\n%s", d)
			}
		})
	}
}
