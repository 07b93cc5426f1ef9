// SPDX-License-Identifier: Apache-2.0

package ratelimits

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/isthmesh/isthmesh/api/policy/v1alpha1"
)

// fieldManager owns what is written.
const fieldManager = "isthmesh-ratelimits"

// Controller writes statuses. One replica runs it at a time.
type Controller struct {
	Client dynamic.Interface
	// Statuses are the newest; nil as long as there is no mesh.
	Statuses func() []Status
	// Changed tells that they may have changed.
	Changed <-chan struct{}
	// Pause is the least time between two rounds, a second by default, and Poll when
	// the statuses are asked for without a change: five seconds by default.
	Pause, Poll time.Duration

	// wrote is what was written, or found to be there, by object.
	wrote map[string]Status
	last  string
}

// Run works until ctx ends; it returns ctx's error.
func (c *Controller) Run(ctx context.Context) error {
	c.wrote = map[string]Status{}
	log := logr.FromContextOrDiscard(ctx).WithName("ratelimits")
	for {
		if err := c.round(ctx); err != nil && ctx.Err() == nil && err.Error() != c.last {
			c.last = err.Error()
			log.Info("not all statuses of rate limits are written, it is tried again", "cause", c.last)
		}
		if err := pause(ctx, cmp.Or(c.Pause, time.Second), nil); err != nil {
			return err
		}
		if err := pause(ctx, cmp.Or(c.Poll, 5*time.Second), c.Changed); err != nil {
			return err
		}
	}
}

// pause until a time is over, something changed, or ctx ends.
func pause(ctx context.Context, d time.Duration, changed <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// round writes what is news.
func (c *Controller) round(ctx context.Context) error {
	var failed []error
	now := map[string]Status{}
	for _, s := range c.Statuses() {
		key := s.Namespace + "/" + s.Name
		if was, ok := c.wrote[key]; ok && same(was, s) {
			now[key] = was
			continue
		}
		done, err := c.write(ctx, s)
		if err != nil {
			failed = append(failed, fmt.Errorf("status of %s %s: %w", kind, key, err))
		}
		if done {
			now[key] = s
		}
	}
	c.wrote = now
	return errors.Join(failed...)
}

func same(a, b Status) bool {
	return a.UID == b.UID && a.Generation == b.Generation && slices.Equal(a.Conditions, b.Conditions)
}

// write a status, unless the object says it, or is another one by now. False when it is to be
// tried again.
func (c *Controller) write(ctx context.Context, s Status) (bool, error) {
	objects := c.Client.Resource(resource()).Namespace(s.Namespace)
	u, err := objects.Get(ctx, s.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) || meta.IsNoMatchError(err):
		return false, nil // the mesh will hear of it
	case err != nil:
		return false, err
	case string(u.GetUID()) != s.UID || u.GetGeneration() != s.Generation:
		return false, nil // a newer mesh comes
	}
	var have []metav1.Condition
	var list []any
	if status, ok := u.Object["status"].(map[string]any); ok {
		list, _ = status["conditions"].([]any)
	}
	for _, raw := range list {
		if m, ok := raw.(map[string]any); ok {
			have = append(have, read(m))
		}
	}
	apply := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": u.GetAPIVersion(), "kind": u.GetKind(),
		"metadata": map[string]any{"name": s.Name, "namespace": s.Namespace, "resourceVersion": u.GetResourceVersion()},
		"status":   map[string]any{"observedGeneration": s.Generation, "conditions": timed(s, have, time.Now())},
	}}
	if says(s, have) {
		return true, nil
	}
	_, err = objects.ApplyStatus(ctx, s.Name, apply, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return false, nil // somebody else was faster
	}
	return err == nil, err
}

func resource() schema.GroupVersionResource {
	return v1alpha1.GroupVersion.WithResource("ratelimitpolicies")
}

func read(m map[string]any) metav1.Condition {
	text := func(field string) string { s, _ := m[field].(string); return s }
	generation, _ := m["observedGeneration"].(int64)
	out := metav1.Condition{
		Type: text("type"), Status: metav1.ConditionStatus(text("status")), Reason: text("reason"), Message: text("message"), ObservedGeneration: generation,
	}
	if t, err := time.Parse(time.RFC3339, text("lastTransitionTime")); err == nil {
		out.LastTransitionTime = metav1.NewTime(t)
	}
	return out
}

// says is true when the conditions on an object are what it is to be told.
func says(s Status, have []metav1.Condition) bool {
	return !slices.ContainsFunc(s.Conditions, func(want metav1.Condition) bool {
		return !slices.ContainsFunc(have, func(is metav1.Condition) bool {
			return is.Type == want.Type && is.Status == want.Status && is.Reason == want.Reason && is.Message == want.Message && is.ObservedGeneration == s.Generation
		})
	})
}

// timed are the conditions as they are applied: the time is when the status turned.
func timed(s Status, have []metav1.Condition, now time.Time) []any {
	var out []any
	for _, want := range s.Conditions {
		since := now.UTC().Truncate(time.Second)
		if i := slices.IndexFunc(have, func(is metav1.Condition) bool { return is.Type == want.Type && is.Status == want.Status }); i >= 0 && !have[i].LastTransitionTime.IsZero() {
			since = have[i].LastTransitionTime.UTC()
		}
		out = append(out, map[string]any{
			"type": want.Type, "status": string(want.Status), "reason": want.Reason, "message": want.Message,
			"observedGeneration": s.Generation, "lastTransitionTime": since.Format(time.RFC3339),
		})
	}
	return out
}
