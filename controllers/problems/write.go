// SPDX-License-Identifier: Apache-2.0

package problems

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
)

// outcome of looking at an object.
type outcome uint8

const (
	// settled: it says what is wanted now, or is nobody's to write to.
	settled outcome = iota
	// written: it was made to.
	written
	// untouched: nothing is wrong with it, and nothing was ever told.
	untouched
	// elsewhere: the mesh was made of another object, or of none; a newer mesh comes.
	elsewhere
)

// write what is wanted onto one object, unless it says so.
func write(ctx context.Context, client dynamic.Interface, t task, now time.Time) (outcome, error) {
	k := kinds[t.of.Kind]
	objects := client.Resource(k).Namespace(t.of.Namespace)
	u, err := objects.Get(ctx, t.of.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) || meta.IsNoMatchError(err):
		return elsewhere, nil
	case err != nil:
		return elsewhere, fmt.Errorf("read %s %s/%s: %w", t.of.Kind, t.of.Namespace, t.of.Name, err)
	case string(u.GetUID()) != t.want.seen.UID || u.GetGeneration() != t.want.seen.Generation || u.GetDeletionTimestamp() != nil:
		return elsewhere, nil
	}
	is, ok := statusOf(u)
	if !ok {
		return settled, nil
	}
	if is.at < 0 && t.want.condition.Status == metav1.ConditionTrue && t.want.condition.Reason == reasonFine {
		return untouched, nil
	}
	apply := is.applied(u, t.want, now)
	if apply == nil {
		return settled, nil
	}
	_, err = objects.ApplyStatus(ctx, t.of.Name, apply, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		// The kind has no status, or the object is not what its definition says.
		return settled, nil
	case err != nil:
		return elsewhere, fmt.Errorf("write the status of %s %s/%s: %w", t.of.Kind, t.of.Namespace, t.of.Name, err)
	}
	return written, nil
}

// adopt remembers which objects of a kind have a condition that was written here,
// by this replica or by another one before.
func adopt(ctx context.Context, client dynamic.Interface, name string, memory map[Object]*entry, now time.Time) error {
	options := metav1.ListOptions{Limit: 500}
	for {
		list, err := client.Resource(kinds[name]).List(ctx, options)
		if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
			return nil // a kind that isn't there has no conditions
		}
		if err != nil {
			return fmt.Errorf("list %s: %w", kinds[name].Resource, err)
		}
		for i := range list.Items {
			u := &list.Items[i]
			is, ok := statusOf(u)
			o := Object{Kind: name, Namespace: u.GetNamespace(), Name: u.GetName()}
			if !ok || is.at < 0 || !ours(u) || memory[o] != nil && memory[o].last.seen.UID != "" {
				continue
			}
			memory[o] = &entry{last: is.says(string(u.GetUID())), at: now, sure: is.observed == is.condition.ObservedGeneration}
		}
		if options.Continue = list.GetContinue(); options.Continue == "" {
			return nil
		}
	}
}
