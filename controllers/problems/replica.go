// SPDX-License-Identifier: Apache-2.0

package problems

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Said is what a replica says of an object that proxies of its own reject, and
// which object it means: when that has changed since, it says nothing.
type Said struct {
	Problem model.Problem `json:"problem"`
	Seen    Seen          `json:"seen"`
}

// Bounds on what one replica says, far below what a ConfigMap holds.
const (
	mostSaid    = 200
	longestSaid = 1200
	dataKey     = "rejections"
)

// Rejected are the Problems that proxies found, of objects with a status and that
// the mesh was made of; sorted, each object's first one of a field.
func Rejected(found []model.Problem, find func(Object) (Seen, bool)) []Said {
	var out []Said
	for _, p := range found {
		if !isReported(p) {
			continue
		}
		seen, ok := find(Said{Problem: p}.object())
		if !ok {
			continue
		}
		p.Message = clipped(p.Message)
		out = append(out, Said{p, seen})
	}
	slices.SortFunc(out, func(a, b Said) int {
		return cmp.Or(compareObjects(a.object(), b.object()), cmp.Compare(a.Problem.Field, b.Problem.Field), cmp.Compare(a.Problem.Message, b.Problem.Message))
	})
	out = slices.CompactFunc(out, func(a, b Said) bool { return a.about() == b.about() })
	return out[:min(len(out), mostSaid)]
}

func clipped(s string) string {
	if len(s) > longestSaid {
		return strings.ToValidUTF8(s[:longestSaid], "") + "…"
	}
	return s
}

func (s Said) object() Object {
	o := Object{Kind: s.Problem.Kind, Namespace: s.Problem.Namespace, Name: s.Problem.Name}
	if o.Kind == "Gateway" && !ofIstioGateway(s.Problem.Field) {
		o.Kind = gatewayOfAPI
	}
	return o
}

// isReported is true for a Problem that replicas tell each other.
func isReported(p model.Problem) bool {
	_, ok := kinds[p.Kind]
	return (ok || reported[p.Kind]) && p.Reason == model.RejectedByProxy
}

// about is the part of an object that is spoken of.
func (s Said) about() [4]string {
	return [4]string{s.Problem.Kind, s.Problem.Namespace, s.Problem.Name, s.Problem.Field}
}

// With what other replicas say: of objects as the mesh has them, and where nobody
// before has said that proxies reject the same part.
func With(found []model.Problem, others []Said, find func(Object) (Seen, bool)) []model.Problem {
	told := map[[4]string]bool{}
	for _, p := range found {
		if p.Reason == model.RejectedByProxy {
			told[Said{Problem: p}.about()] = true
		}
	}
	out := slices.Clip(found)
	for _, s := range others {
		if seen, ok := find(s.object()); !ok || seen != s.Seen || told[s.about()] {
			continue
		}
		told[s.about()] = true
		out = append(out, s.Problem)
	}
	return out
}

func encode(said []Said) string {
	// Values of texts and numbers always can be written as JSON.
	b, _ := json.Marshal(said)
	return string(b)
}

// decode what a replica wrote. Who may write there may write anything: what isn't
// a rejection of an object that gets conditions is left out, and what is too long cut.
func decode(text string) []Said {
	var list []Said
	if json.Unmarshal([]byte(text), &list) != nil {
		return nil
	}
	var out []Said
	for _, s := range list[:min(len(list), mostSaid)] {
		if isReported(s.Problem) {
			s.Problem.Message, s.Problem.Field = clipped(s.Problem.Message), clipped(s.Problem.Field)
			out = append(out, s)
		}
	}
	return out
}
