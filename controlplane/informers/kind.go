// SPDX-License-Identifier: Apache-2.0

package informers

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"

	"github.com/go-logr/logr"
	"google.golang.org/protobuf/proto"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
)

// object is a pointer to a Kubernetes object.
type object interface {
	comparable
	metav1.Object
	runtime.Object
}

// kind caches the objects of one kind.
type kind[T object] struct {
	resource     string
	informer     cache.SharedIndexInformer
	registration cache.ResourceEventHandlerRegistration
	// refused is closed when the API server says that it does not serve the resource.
	refused     chan struct{}
	refusedOnce sync.Once
	// denied is closed when the API server doesn't let the resource be read.
	denied     chan struct{}
	deniedOnce sync.Once
	startOnce  sync.Once

	mu sync.Mutex
	// dirty names what may differ between sorted and the informer's store.
	dirty map[cache.ObjectName]struct{}
	// sorted by namespace and name. Never modified: whoever has it may keep it.
	sorted []T
}

// newKind makes a cache of what lw lists, objects of example's type. Trim returns
// a new object with what the mesh needs; it is handed no other. Notify is called
// after each event.
func newKind[From runtime.Object, T object](resource string, lw cache.ListerWatcher, example From, trim func(From) T, notify func()) (*kind[T], error) {
	k := &kind[T]{
		resource: resource,
		informer: cache.NewSharedIndexInformerWithOptions(lw, example, cache.SharedIndexInformerOptions{ObjectDescription: resource}),
		refused:  make(chan struct{}),
		denied:   make(chan struct{}),
		dirty:    map[cache.ObjectName]struct{}{},
	}
	err := k.informer.SetTransform(func(o any) (any, error) {
		if typed, ok := o.(From); ok {
			return trim(typed), nil
		}
		return o, nil
	})
	if err != nil {
		return nil, fmt.Errorf("set the transform of %s: %w", resource, err)
	}
	if err := k.informer.SetWatchErrorHandlerWithContext(k.watchFailed); err != nil {
		return nil, fmt.Errorf("set the error handler of %s: %w", resource, err)
	}
	touch := func(o any) {
		name, err := cache.DeletionHandlingObjectToName(o)
		if err != nil {
			// The cache holds Kubernetes objects only, and they have names.
			return
		}
		k.mu.Lock()
		k.dirty[name] = struct{}{}
		k.mu.Unlock()
		notify()
	}
	k.registration, err = k.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    touch,
		UpdateFunc: func(_, now any) { touch(now) },
		DeleteFunc: touch,
	})
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", resource, err)
	}
	return k, nil
}

// watchFailed logs why a list or watch ended; it is tried again by itself.
func (k *kind[T]) watchFailed(ctx context.Context, r *cache.Reflector, err error) {
	// Who may list and not watch has read what there is.
	if apierrors.IsForbidden(err) && r.LastSyncResourceVersion() == "" {
		k.deniedOnce.Do(func() { close(k.denied) })
	}
	if !apierrors.IsNotFound(err) {
		cache.DefaultWatchErrorHandler(ctx, r, err)
		return
	}
	k.refusedOnce.Do(func() {
		close(k.refused)
		logr.FromContextOrDiscard(ctx).Info("the API server does not serve this resource in the version that is read; it is tried again",
			"resource", k.resource, "err", err.Error())
	})
}

func (k *kind[T]) name() string { return k.resource }

// run watches until ctx ends; further calls return at once.
func (k *kind[T]) run(ctx context.Context) {
	k.startOnce.Do(func() { k.informer.RunWithContext(ctx) })
}

// wait returns when what was there at the start is in the cache, or when the
// API server refused the resource.
func (k *kind[T]) wait(ctx context.Context) error {
	select {
	case <-k.registration.HasSyncedChecker().Done():
		return nil
	case <-k.refused:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s are not read: %w", k.resource, context.Cause(ctx))
	}
}

// answered returns true when the API server has said what there is, or that
// nobody here is to know; false when ctx ended before.
func (k *kind[T]) answered(ctx context.Context) bool {
	select {
	case <-k.registration.HasSyncedChecker().Done():
	case <-k.refused:
	case <-k.denied:
	case <-ctx.Done():
		return false
	}
	return true
}

// isDenied is true once the API server has said that nobody here is to know.
func (k *kind[T]) isDenied() bool {
	select {
	case <-k.denied:
		return !k.registration.HasSynced()
	default:
		return false
	}
}

// hasAnswered is true once answered returns at once.
func (k *kind[T]) hasAnswered() bool {
	select {
	case <-k.refused:
		return true
	case <-k.denied:
		return true
	default:
		return k.registration.HasSynced()
	}
}

// served is false once the API server refused the resource and has not given
// it since.
func (k *kind[T]) served() bool {
	select {
	case <-k.refused:
		return k.registration.HasSynced()
	default:
		return true
	}
}

// objects returns what there is, sorted: the same slice as long as nothing
// changed, and the same pointers as long as they say the same.
func (k *kind[T]) objects() []T {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.dirty) == 0 {
		return k.sorted
	}
	names := slices.SortedFunc(maps.Keys(k.dirty), compareNames)
	clear(k.dirty)
	next := make([]T, 0, len(k.sorted)+len(names))
	rest, changed := k.sorted, false
	for _, name := range names {
		i, there := slices.BinarySearchFunc(rest, name, func(o T, n cache.ObjectName) int {
			return compareNames(cache.MetaObjectToName(o), n)
		})
		next = append(next, rest[:i]...)
		rest = rest[i:]
		var old T
		if there {
			old, rest = rest[0], rest[1:]
		}
		now, exists := k.get(name)
		if there && exists && sameContent(old, now) {
			now = old
		}
		if exists {
			next = append(next, now)
		}
		changed = changed || there != exists || now != old
	}
	if changed {
		k.sorted = append(next, rest...)
	}
	return k.sorted
}

// get reads an object from the informer's store.
func (k *kind[T]) get(name cache.ObjectName) (T, bool) {
	var none T
	o, exists, err := k.informer.GetStore().GetByKey(name.String())
	if err != nil || !exists {
		return none, false
	}
	typed, ok := o.(T)
	return typed, ok
}

func compareNames(a, b cache.ObjectName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// sameContent is true when two objects differ in nothing but their version.
func sameContent[T object](a, b T) bool {
	if a == b {
		return true
	}
	if a.GetGeneration() > 0 && a.GetGeneration() == b.GetGeneration() && a.GetUID() == b.GetUID() {
		// The API server counts what changes a spec.
		return maps.Equal(a.GetLabels(), b.GetLabels()) && maps.Equal(a.GetAnnotations(), b.GetAnnotations()) && sameHealth(a, b)
	}
	left, right := a.DeepCopyObject().(metav1.Object), b.DeepCopyObject().(metav1.Object)
	left.SetResourceVersion("")
	right.SetResourceVersion("")
	return sameFields(left, right)
}

// sameFields compares two objects of one kind. Specs of Istio's kinds are
// protobuf messages, which have a state of their own beside what they say.
func sameFields(a, b any) bool {
	left, right := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range left.NumField() {
		f, g := left.Field(i).Addr().Interface(), right.Field(i).Addr().Interface()
		message, ok := f.(proto.Message)
		if ok && !proto.Equal(message, g.(proto.Message)) || !ok && !equality.Semantic.DeepEqual(f, g) {
			return false
		}
	}
	return true
}

// sameHealth compares the status and the owners of WorkloadEntries: whether they
// are healthy and whose they are moves no generation. No other kind is kept with a
// generation and either of them.
func sameHealth[T object](a, b T) bool {
	left, ok := any(a).(*networking.WorkloadEntry)
	if !ok {
		return true
	}
	right, ok := any(b).(*networking.WorkloadEntry)
	return ok && proto.Equal(&left.Status, &right.Status) && equality.Semantic.DeepEqual(left.OwnerReferences, right.OwnerReferences)
}
