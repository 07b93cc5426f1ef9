// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"fmt"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/xds"
)

// breach takes a defence out of what a proxy gets: it changes one message, and
// is true when it did. A replay that is played behind a breach must succeed, or
// it would not have told that the defence is there.
type breach func(proto.Message) bool

// breached is a snapshot with defences taken out of every resource.
type breached struct {
	xds.Snapshot
	breaches []breach

	mu    sync.Mutex
	views map[*envoy.View]*envoy.View
	// used are the breaches that had something to take out.
	used []bool
}

// push a snapshot to the proxy, without the defences that the world is without.
func (w *world) push(s xds.Snapshot) error {
	if len(w.without) == 0 {
		return w.proxy.Try(s)
	}
	b := &breached{Snapshot: s, views: map[*envoy.View]*envoy.View{}, used: make([]bool, len(w.without))}
	for _, name := range w.without {
		open := w.defence(name)
		if open == nil {
			return fmt.Errorf("nobody knows the defence %q", name)
		}
		b.breaches = append(b.breaches, open)
	}
	if err := w.proxy.Try(b); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.used, false); i >= 0 {
		return fmt.Errorf("there is no defence %q that could be taken out", w.without[i])
	}
	return nil
}

// View of a proxy, the same for the same view of the snapshot.
func (b *breached) View(p *model.Proxy) *envoy.View {
	b.mu.Lock()
	defer b.mu.Unlock()
	v := b.Snapshot.View(p)
	if v == nil {
		return nil
	}
	if b.views[v] == nil {
		out := &envoy.View{Types: map[string]envoy.Layers{}}
		for kind, layers := range v.Types {
			out.Types[kind] = envoy.Layers{Shared: b.layer(layers.Shared), Own: b.layer(layers.Own)}
		}
		b.views[v] = out
	}
	return b.views[v]
}

func (b *breached) layer(l *envoy.Layer) *envoy.Layer {
	if l == nil {
		return nil
	}
	resources := slices.Clone(l.Resources())
	for i, r := range resources {
		m, err := r.Message()
		if err != nil {
			continue // nothing of Envoy's
		}
		changed := false
		for j, open := range b.breaches {
			if rewrite(m, open) {
				changed, b.used[j] = true, true
			}
		}
		if !changed {
			continue
		}
		if resources[i], err = envoy.NewResource(r.Name, m); err != nil {
			panic(err)
		}
	}
	return layer(resources...)
}

// rewrite a message and all that is in it, also what is packed in Any, from the
// inside out. True when anything was changed.
func rewrite(m proto.Message, open breach) bool {
	if packed, ok := m.(*anypb.Any); ok {
		inner, err := packed.UnmarshalNew()
		if err != nil || !rewrite(inner, open) {
			return false
		}
		return packed.MarshalFrom(inner) == nil
	}
	changed := false
	into := func(v protoreflect.Value) { changed = rewrite(v.Message().Interface(), open) || changed }
	m.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap() && f.MapValue().Message() != nil:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool { into(v); return true })
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				into(v.List().Get(i))
			}
		case !f.IsMap() && !f.IsList() && f.Message() != nil:
			into(v)
		}
		return true
	})
	return open(m) || changed
}
