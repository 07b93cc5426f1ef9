// SPDX-License-Identifier: Apache-2.0

package keep_test

import (
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/ingest/keep"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

func routing(name, host string) *model.Routing {
	return &model.Routing{Origin: model.Origin{Name: name}, Hosts: []string{host}}
}

func TestShare(t *testing.T) {
	old := []*model.Routing{routing("a", "x"), routing("b", "x"), routing("b", "y")}
	now := keep.Share(old, []*model.Routing{routing("b", "y"), routing("a", "z"), routing("b", "x")})
	if now[0] != old[2] || now[2] != old[1] {
		t.Error("equal values of one object have other pointers")
	}
	if now[1] == old[0] {
		t.Error("a value that changed has its old pointer")
	}
	same := keep.Share(old, []*model.Routing{routing("a", "x"), routing("b", "x"), routing("b", "y")})
	if &same[0] != &old[0] {
		t.Error("equal values in the same order are another slice")
	}
	if got := keep.Share(old, []*model.Routing{}); len(got) != 0 {
		t.Errorf("nothing became %v", got)
	}
	if got := keep.Share([]*model.Routing{routing("a", "x")}, []*model.Routing{routing("c", "x")}); got[0].Name != "c" {
		t.Error("the value of another object was taken")
	}
}

func TestSame(t *testing.T) {
	type inner struct{ B []int }
	type in struct {
		A    []int
		M    map[string]string
		P    *int
		S    string
		Deep inner
	}
	one, list, other := 1, []int{1}, []int{1}
	m := map[string]string{"a": "b"}
	base := in{A: list, M: m, P: &one, S: "s", Deep: inner{list}}
	for name, c := range map[string]struct {
		change func(*in)
		want   bool
	}{
		"Nothing":      {func(*in) {}, true},
		"EqualSlice":   {func(i *in) { i.A = other }, false},
		"ShorterSlice": {func(i *in) { i.A = list[:0] }, false},
		"EqualMap":     {func(i *in) { i.M = map[string]string{"a": "b"} }, false},
		"Pointer":      {func(i *in) { i.P = new(int) }, false},
		"Text":         {func(i *in) { i.S = "t" }, false},
		"Inner":        {func(i *in) { i.Deep.B = other }, false},
	} {
		t.Run(name, func(t *testing.T) {
			changed := base
			c.change(&changed)
			if got := keep.Same(base, changed); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	if !keep.Same(in{}, in{A: []int{}}) {
		t.Error("no slice and an empty one differ")
	}
}
