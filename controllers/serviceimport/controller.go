// SPDX-License-Identifier: Apache-2.0

// Package serviceimport shows the services of other members as ServiceImports,
// so that `kubectl get serviceimports` lists them. It runs in the member's
// control plane, after ingest; nothing in the mesh reads what it writes.
package serviceimport

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	client "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Facts is what is known at one time.
type Facts struct {
	// Mesh that was built last; nil before the first.
	Mesh *model.Mesh
	// Imports that it was built with; nil while they are not synced, and then nothing is written.
	Imports *model.Imports
	// Namespaces of this cluster: what is imported into one that isn't there is not shown.
	Namespaces []*corev1.Namespace
}

// Controller keeps the ServiceImports. Any number of replicas may run it: they
// write the same.
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

	have map[types.NamespacedName]*mcs.ServiceImport // ours, as they were last seen
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
	log := logr.FromContextOrDiscard(ctx).WithName("serviceimport")
	again := time.NewTicker(resync)
	defer again.Stop()
	for {
		settled, err := c.round(ctx)
		if err != nil && ctx.Err() == nil {
			log.Error(err, "Can't write ServiceImports")
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		if !settled {
			continue
		}
		select {
		case <-c.Changed:
		case <-again.C:
			c.have = nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// round brings the objects to what the facts say; settled when nothing is left to do.
func (c *Controller) round(ctx context.Context) (settled bool, err error) {
	f := c.Facts()
	if f.Mesh == nil || f.Imports == nil {
		return true, nil
	}
	if c.have == nil {
		if err := c.read(ctx); apierrors.IsNotFound(err) {
			return true, nil // the kind isn't there; it is looked for again
		} else if err != nil {
			return false, err
		}
	}
	namespaces := map[string]bool{}
	for _, n := range f.Namespaces {
		namespaces[n.Name] = n.Status.Phase != corev1.NamespaceTerminating
	}
	wanted := map[types.NamespacedName]bool{}
	var failed []error
	for _, want := range Mirror(f.Mesh, f.Imports) {
		if !namespaces[want.Namespace] {
			continue
		}
		k := types.NamespacedName{Namespace: want.Namespace, Name: want.Name}
		wanted[k] = true
		if err := c.write(ctx, k, want); err != nil {
			failed = append(failed, fmt.Errorf("ServiceImport %s: %w", k, err))
		}
	}
	for k, old := range c.have {
		if wanted[k] {
			continue
		}
		err := c.Client.MulticlusterV1beta1().ServiceImports(k.Namespace).Delete(ctx, k.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &old.UID}})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			failed = append(failed, fmt.Errorf("ServiceImport %s: %w", k, err))
			continue
		}
		delete(c.have, k)
	}
	if len(failed) > 0 {
		c.have = nil // read again what is there
	}
	return len(failed) == 0, errors.Join(failed...)
}

func (c *Controller) read(ctx context.Context) error {
	list, err := c.Client.MulticlusterV1beta1().ServiceImports("").List(ctx, metav1.ListOptions{LabelSelector: Label + "=" + LabelValue})
	if err != nil {
		return err
	}
	c.have = map[types.NamespacedName]*mcs.ServiceImport{}
	for i := range list.Items {
		o := &list.Items[i]
		c.have[types.NamespacedName{Namespace: o.Namespace, Name: o.Name}] = o
	}
	return nil
}

// write creates or updates one object; one that somebody else made is left alone.
func (c *Controller) write(ctx context.Context, k types.NamespacedName, want *mcs.ServiceImport) error {
	api := c.Client.MulticlusterV1beta1().ServiceImports(k.Namespace)
	have := c.have[k]
	if have == nil {
		created, err := c.create(ctx, want)
		if err != nil || created == nil {
			return err
		}
		have = created
	}
	if !reflect.DeepEqual(have.Spec, want.Spec) {
		next := have.DeepCopy()
		next.Spec = want.Spec
		updated, err := api.Update(ctx, next, metav1.UpdateOptions{})
		if err != nil {
			return err
		}
		have = updated
	}
	if !reflect.DeepEqual(have.Status.Clusters, want.Status.Clusters) || have.Status.EndpointSliceObjects != want.Status.EndpointSliceObjects {
		next := have.DeepCopy()
		next.Status.Clusters, next.Status.EndpointSliceObjects = want.Status.Clusters, want.Status.EndpointSliceObjects
		updated, err := api.UpdateStatus(ctx, next, metav1.UpdateOptions{})
		if err != nil {
			return err
		}
		have = updated
	}
	c.have[k] = have
	return nil
}

// create returns the object that is there now, nil when it is not ours to keep
// or its namespace is going.
func (c *Controller) create(ctx context.Context, want *mcs.ServiceImport) (*mcs.ServiceImport, error) {
	api := c.Client.MulticlusterV1beta1().ServiceImports(want.Namespace)
	created, err := api.Create(ctx, want, metav1.CreateOptions{})
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause), apierrors.IsNotFound(err):
		return nil, nil
	case apierrors.IsAlreadyExists(err):
		created, err = api.Get(ctx, want.Name, metav1.GetOptions{})
		if err == nil && created.Labels[Label] != LabelValue {
			return nil, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return created, nil
}
