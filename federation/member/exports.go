// SPDX-License-Identifier: Apache-2.0

package member

import (
	"bytes"
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/federation/wire"
)

// window is how many export updates may be unacknowledged; what changes
// meanwhile waits, and only its newest state is sent.
const window = 4

// exports is what this member wants the hub to hold, against what it holds.
// It is a pure value: nothing in it waits or talks.
type exports struct {
	// known: set was called. Before, nothing is said: not known is not empty.
	known bool
	want  map[wire.Key]*offer
	// faulty exports are not even sent; the reason is the same that the hub would give.
	faulty map[wire.Key]Refusal
	// refused by the hub.
	refused []Refusal

	// Of the current stream: welcomed says that held is known.
	welcomed    bool
	completeDue bool
	held        map[wire.Key][]byte
	pending     map[wire.Key]struct{}
	sent, acked uint64
}

type offer struct {
	export  *model.Export
	message *federationv1.Service
}

// set replaces what is wanted; true when there is something to send.
func (x *exports) set(list []*model.Export) bool {
	want := make(map[wire.Key]*offer, len(list))
	x.faulty = map[wire.Key]Refusal{}
	for _, e := range list {
		k := wire.Key{Namespace: e.Namespace, Name: e.Name}
		old := x.want[k]
		if old != nil && (old.export == e || reflect.DeepEqual(old.export, e)) {
			want[k] = old
			continue
		}
		m := wire.FromExport(e)
		if f := wire.CheckService(m); f != nil {
			x.faulty[k] = Refusal{Namespace: k.Namespace, Name: k.Name, Reason: f.Reason, Message: f.Message}
			if old != nil {
				want[k] = old // as the hub would: what was taken before stays
			}
			continue
		}
		want[k] = &offer{e, m}
	}
	x.want, x.known = want, true
	x.compare()
	return x.due()
}

// welcome begins a stream with what the hub says it holds of this member.
func (x *exports) welcome(held []*federationv1.HeldService) {
	x.welcomed, x.completeDue = true, true
	x.sent, x.acked = 0, 0
	x.held = make(map[wire.Key][]byte, len(held))
	for _, h := range held {
		x.held[wire.KeyOf(h.GetKey())] = h.GetHash()
	}
	x.compare()
}

// lost ends a stream.
func (x *exports) lost() { x.welcomed, x.completeDue, x.pending = false, false, nil }

func (x *exports) compare() {
	if !x.welcomed || !x.known {
		return
	}
	x.pending = map[wire.Key]struct{}{}
	for k, o := range x.want {
		if !bytes.Equal(x.held[k], o.message.GetHash()) {
			x.pending[k] = struct{}{}
		}
	}
	for k := range x.held {
		if x.want[k] == nil {
			x.pending[k] = struct{}{}
		}
	}
}

func (x *exports) due() bool {
	return x.welcomed && x.known && (x.completeDue || len(x.pending) > 0)
}

// next is the update to send now; nil when there is none, or when the hub must
// first acknowledge what it was sent.
func (x *exports) next() *federationv1.ExportUpdate {
	if !x.due() || x.sent-x.acked >= window {
		return nil
	}
	u := &federationv1.ExportUpdate{}
	room := wire.ChunkBytes
	for _, k := range sortedKeys(x.pending) {
		if room <= 0 {
			break
		}
		delete(x.pending, k)
		if o := x.want[k]; o != nil {
			x.held[k] = o.message.GetHash()
			u.Updated = append(u.Updated, o.message)
			room -= proto.Size(o.message)
		} else {
			delete(x.held, k)
			key := k.Message()
			u.Removed = append(u.Removed, key)
			room -= proto.Size(key)
		}
	}
	if len(x.pending) == 0 {
		u.Complete, x.completeDue = x.completeDue, false
	}
	x.sent++
	u.Nonce = x.sent
	return u
}

// acknowledge takes the hub's answer; false when it makes no sense.
func (x *exports) acknowledge(nonce uint64) bool {
	if nonce > x.sent {
		return false
	}
	x.acked = max(x.acked, nonce)
	return true
}

// allRefused are the hub's refusals and this member's own, sorted.
func (x *exports) allRefused() []Refusal {
	out := slices.Concat(x.refused, slices.Collect(maps.Values(x.faulty)))
	slices.SortFunc(out, func(a, b Refusal) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name), strings.Compare(a.Reason, b.Reason))
	})
	return slices.Compact(out)
}

func sortedKeys[V any](m map[wire.Key]V) []wire.Key {
	return slices.SortedFunc(maps.Keys(m), wire.Key.Compare)
}
