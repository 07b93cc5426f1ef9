// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/gatewayapi"
)

// writer writes statuses that differ from what is there. It remembers what it
// wrote, so that what stays the same costs nothing.
type writer struct {
	client client.Client
	now    func() time.Time
	// wrote is what each object was brought to.
	wrote map[gatewayapi.Object]any
}

// forget makes the next round look at every object again.
func (w *writer) forget() { w.wrote = map[gatewayapi.Object]any{} }

// all statuses. What could not be written is tried again in the next round.
func (w *writer) all(ctx context.Context, s *gatewayapi.Statuses, deployed func(gatewayapi.Object) gatewayapi.Deployed) error {
	var failed []error
	current := map[gatewayapi.Object]bool{}
	write := func(of gatewayapi.Object, o client.Object, want any, merge func(now metav1.Time) (changed bool)) {
		current[of] = true
		if was, ok := w.wrote[of]; ok && reflect.DeepEqual(was, want) {
			return
		}
		if err := w.one(ctx, of, o, want, merge); err != nil {
			failed = append(failed, fmt.Errorf("status of %s %s/%s: %w", of.Kind, of.Namespace, of.Name, err))
		}
	}
	for _, c := range s.Classes {
		o := &gateway.GatewayClass{}
		write(c.Object, o, c, func(now metav1.Time) bool {
			want := gateway.GatewayClassStatus{Conditions: timed(c.Conditions, o.Status.Conditions, now), SupportedFeatures: c.SupportedFeatures}
			return set(&o.Status, want)
		})
	}
	for _, g := range s.Gateways {
		o := &gateway.Gateway{}
		whole := g.With(deployed(g.Object))
		write(g.Object, o, whole, func(now metav1.Time) bool { return set(&o.Status, mergeGateway(whole, o.Status, now)) })
	}
	for _, l := range s.ListenerSets {
		o := &gateway.ListenerSet{}
		whole := l.With(deployed(l.Gateway))
		write(l.Object, o, whole, func(now metav1.Time) bool { return set(&o.Status, mergeListenerSet(whole, o.Status, now)) })
	}
	for _, r := range s.Routes {
		o, status := routeObject(r.Kind)
		write(r.Object, o, r.Parents, func(now metav1.Time) bool { return setParents(status, r.Parents, now) })
	}
	for _, p := range s.Policies {
		o := &gateway.BackendTLSPolicy{}
		write(p.Object, o, p.Ancestors, func(now metav1.Time) bool {
			return set(&o.Status.Ancestors, mergeAncestors(p.Ancestors, o.Status.Ancestors, now))
		})
	}
	for of := range w.wrote {
		if !current[of] {
			delete(w.wrote, of)
		}
	}
	return errors.Join(failed...)
}

func setParents(status *gateway.RouteStatus, want []gateway.RouteParentStatus, now metav1.Time) bool {
	return set(&status.Parents, mergeParents(want, status.Parents, now))
}

// set a status, and tell whether it was another one.
func set[T any](status *T, want T) bool {
	if equality.Semantic.DeepEqual(*status, want) {
		return false
	}
	*status = want
	return true
}

func routeObject(kind string) (client.Object, *gateway.RouteStatus) {
	switch kind {
	case "GRPCRoute":
		o := &gateway.GRPCRoute{}
		return o, &o.Status.RouteStatus
	case "TLSRoute":
		o := &gateway.TLSRoute{}
		return o, &o.Status.RouteStatus
	case "TCPRoute":
		o := &gateway.TCPRoute{}
		return o, &o.Status.RouteStatus
	case "UDPRoute":
		o := &gateway.UDPRoute{}
		return o, &o.Status.RouteStatus
	}
	o := &gateway.HTTPRoute{}
	return o, &o.Status.RouteStatus
}

// one status, on top of what is there now.
func (w *writer) one(ctx context.Context, of gatewayapi.Object, o client.Object, want any, merge func(metav1.Time) bool) error {
	err := w.client.Get(ctx, client.ObjectKey{Namespace: of.Namespace, Name: of.Name}, o)
	switch {
	case apierrors.IsNotFound(err) || meta.IsNoMatchError(err):
		return nil // it is gone; the mesh will hear of it
	case err != nil:
		return err
	case string(o.GetUID()) != of.UID || o.GetGeneration() != of.Generation:
		return nil // the mesh is older than the object: a newer one comes
	}
	if merge(metav1.NewTime(w.now())) {
		err := w.client.Status().Update(ctx, o)
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return fmt.Errorf("somebody else was faster: %w", err)
		}
		if err != nil {
			return err
		}
	}
	w.wrote[of] = want
	return nil
}
