// SPDX-License-Identifier: Apache-2.0

// Package relay has controllers look at all objects of a kind again when
// something outside of Kubernetes changed, such as the roots of trust.
package relay

import (
	"context"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Relay tells all its sources of each change. It is a Runnable of a manager,
// which has to be given it.
type Relay struct {
	client  client.Reader
	changed <-chan struct{}
	sources []chan event.GenericEvent
}

// New makes a relay of what comes on a channel; objects are listed by the client.
func New(c client.Reader, changed <-chan struct{}) *Relay {
	return &Relay{client: c, changed: changed}
}

// Every is a source of requests for each object of a list's kind, after each
// change. It is made before the relay starts.
func (r *Relay) Every(list client.ObjectList) source.Source {
	events := make(chan event.GenericEvent)
	r.sources = append(r.sources, events)
	return source.Channel(events, handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, _ client.Object) []reconcile.Request {
		return r.requests(ctx, list.DeepCopyObject().(client.ObjectList))
	}))
}

func (r *Relay) requests(ctx context.Context, list client.ObjectList) []reconcile.Request {
	if err := r.client.List(ctx, list); err != nil {
		return nil // the cache is gone: so is the process
	}
	var out []reconcile.Request
	_ = meta.EachListItem(list, func(o runtime.Object) error {
		if named, err := meta.Accessor(o); err == nil {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKey{Namespace: named.GetNamespace(), Name: named.GetName()}})
		}
		return nil
	})
	return out
}

// Start relays until the context ends.
func (r *Relay) Start(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.changed:
		}
		for _, to := range r.sources {
			select {
			case <-ctx.Done():
				return nil
			case to <- event.GenericEvent{Object: &metav1.PartialObjectMetadata{}}:
			}
		}
	}
}

// NeedLeaderElection is false: writing the same content twice is harmless.
func (*Relay) NeedLeaderElection() bool { return false }
