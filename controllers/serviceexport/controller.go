// SPDX-License-Identifier: Apache-2.0

// Package serviceexport writes the status of ServiceExports: whether each is
// valid, whether the hub has it, and whether an older export of another member
// defines the service. It runs in the member's control plane, after ingest,
// whose Problems it shows, and beside federation/member, whose refusals it shows.
package serviceexport

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	client "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/federation/member"
)

// Facts is what is known at one time.
type Facts struct {
	// Exports are all ServiceExports, of which names and UID are read.
	Exports []*mcs.ServiceExport
	// Mesh that was built last; nil before the first.
	Mesh *model.Mesh
	// Stream to the hub; nil when this cluster is no member of a federation.
	Stream *member.State
}

// Controller writes the status of all ServiceExports. Any number of replicas
// may run it: they write the same, and one that doesn't hear the hub leaves
// what only the hub knows to the others.
type Controller struct {
	Client client.Interface
	// Facts returns the newest facts.
	Facts func() Facts
	// Changed tells that they may have changed.
	Changed <-chan struct{}
	// Pause is the least time between two rounds; a second by default.
	Pause time.Duration
	// Resync is when everything is read again, for what others wrote; ten minutes by default.
	Resync time.Duration

	seen map[types.NamespacedName]status
}

// status is what an object's status was when it was last looked at.
type status struct {
	uid        types.UID
	conditions []metav1.Condition
}

// Run works until ctx ends; it returns ctx's error.
func (c *Controller) Run(ctx context.Context) error {
	pause, resync := c.Pause, c.Resync
	if pause == 0 {
		pause = time.Second
	}
	if resync == 0 {
		resync = 10 * time.Minute
	}
	log := logr.FromContextOrDiscard(ctx).WithName("serviceexport")
	var read time.Time
	for {
		if time.Since(read) > resync {
			if err := c.read(ctx); err != nil {
				log.Error(err, "Can't read ServiceExports")
			} else {
				read = time.Now()
			}
		}
		settled := false
		if !read.IsZero() {
			var err error
			if settled, err = c.round(ctx); err != nil {
				log.Error(err, "Can't write the status of ServiceExports")
			}
		}
		if err := c.wait(ctx, pause, settled); err != nil {
			return err
		}
	}
}

// wait returns after the pause, and, when all is settled, not before something changed.
func (c *Controller) wait(ctx context.Context, pause time.Duration, settled bool) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	if !settled {
		return nil
	}
	timer.Reset(time.Minute)
	select {
	case <-c.Changed:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// read learns the status of all objects. That the kind isn't there is no error.
func (c *Controller) read(ctx context.Context) error {
	list, err := c.Client.MulticlusterV1beta1().ServiceExports("").List(ctx, metav1.ListOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	c.seen = map[types.NamespacedName]status{}
	if err == nil {
		for _, e := range list.Items {
			c.seen[types.NamespacedName{Namespace: e.Namespace, Name: e.Name}] = status{e.UID, e.Status.Conditions}
		}
	}
	return nil
}

// round writes what differs. It is settled when the facts leave nothing to wait for.
func (c *Controller) round(ctx context.Context) (settled bool, err error) {
	all := c.Facts()
	if all.Mesh == nil {
		return false, nil
	}
	settled = true
	var failed []error
	index := newIndex(all)
	current := map[types.NamespacedName]bool{}
	for _, e := range all.Exports {
		k := types.NamespacedName{Namespace: e.Namespace, Name: e.Name}
		current[k] = true
		was := c.seen[k]
		if was.uid != e.UID {
			was = status{uid: e.UID}
		}
		f := index.facts(k)
		want := conditions(f, was.conditions)
		settled = settled && want != nil && f.hub != Away
		if same(want, was.conditions) {
			continue
		}
		if err := c.write(ctx, k, e.UID, f); err != nil {
			settled = false
			failed = append(failed, fmt.Errorf("ServiceExport %s: %w", k, err))
		}
	}
	maps.DeleteFunc(c.seen, func(k types.NamespacedName, _ status) bool { return !current[k] })
	return settled, errors.Join(failed...)
}

// write brings one object's status to what the facts say, on top of what is there now.
func (c *Controller) write(ctx context.Context, k types.NamespacedName, uid types.UID, f facts) error {
	api := c.Client.MulticlusterV1beta1().ServiceExports(k.Namespace)
	e, err := api.Get(ctx, k.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && e.UID != uid {
		return nil // it is gone; who took its place is seen soon
	}
	if err != nil {
		return err
	}
	want := conditions(f, e.Status.Conditions)
	if !same(want, e.Status.Conditions) {
		for _, w := range want {
			w.ObservedGeneration = e.Generation
			meta.SetStatusCondition(&e.Status.Conditions, w)
		}
		e, err = api.UpdateStatus(ctx, e, metav1.UpdateOptions{})
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return nil // somebody else was faster: the next round sees what they wrote
		}
		if err != nil {
			return err
		}
	}
	c.seen[k] = status{e.UID, e.Status.Conditions}
	return nil
}

// same is true when has says all that want says.
func same(want, has []metav1.Condition) bool {
	for _, w := range want {
		h := find(has, mcs.ServiceExportConditionType(w.Type))
		if h == nil || h.Status != w.Status || h.Reason != w.Reason || h.Message != w.Message {
			return false
		}
	}
	return true
}

// index finds the facts of one export.
type index struct {
	problems map[types.NamespacedName]*model.Problem
	exported map[types.NamespacedName]bool
	refused  map[types.NamespacedName]*member.Refusal
	hub      Hub
	why      string
}

func newIndex(f Facts) *index {
	i := &index{
		problems: map[types.NamespacedName]*model.Problem{},
		exported: map[types.NamespacedName]bool{},
		refused:  map[types.NamespacedName]*member.Refusal{},
	}
	for n := range f.Mesh.Problems {
		p := &f.Mesh.Problems[n]
		k := types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
		if p.Kind != mcs.ServiceExportKindName {
			continue
		}
		if was := i.problems[k]; was == nil || isInvalid(p) && !isInvalid(was) {
			i.problems[k] = p
		}
	}
	for _, s := range f.Mesh.Services {
		if s.Service.Exported {
			i.exported[types.NamespacedName{Namespace: s.Service.Namespace, Name: s.Service.Name}] = true
		}
	}
	switch {
	case f.Stream == nil:
		i.hub = None
	case f.Stream.Synced:
		i.hub = Holds
	default:
		i.hub, i.why = Away, f.Stream.LastError
	}
	if f.Stream != nil {
		for _, r := range slices.Backward(f.Stream.Refused) {
			i.refused[types.NamespacedName{Namespace: r.Namespace, Name: r.Name}] = &r
		}
	}
	return i
}

func (i *index) facts(k types.NamespacedName) facts {
	return facts{problem: i.problems[k], exported: i.exported[k], hub: i.hub, why: i.why, refused: i.refused[k]}
}
