// SPDX-License-Identifier: Apache-2.0

package workloadentry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	client "istio.io/client-go/pkg/clientset/versioned/typed/networking/v1"
	"k8s.io/client-go/util/workqueue"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/registration"
)

// Objects that the mesh is made of, sorted by namespace and name.
type Objects struct {
	Entries []*networking.WorkloadEntry
	Groups  []*networking.WorkloadGroup
	// Known is false as long as nothing was read.
	Known bool
}

// Registrar registers the machines that are connected to this replica. It
// implements xds.Machines.
type Registrar struct {
	Client client.NetworkingV1Interface
	// Objects as they were read last.
	Objects func() Objects
	// Changed is readable when Objects may say something else.
	Changed chan struct{}
	// Replica is the name of this run of this replica, as on entries.
	Replica string
	Metrics *Metrics

	once  sync.Once
	queue workqueue.TypedRateLimitingInterface[registration.Key]

	mu sync.Mutex
	// machines are the streams of each entry's machine.
	machines map[registration.Key]map[*model.Machine]model.MachineStream
}

// mostSteps of one entry: it is made, and told how its machine is.
const mostSteps = 4

// writers is how many entries are written at a time.
const writers = 8

// start makes the queue, which machines may come before Run to.
func (r *Registrar) start() {
	r.once.Do(func() {
		r.machines = map[registration.Key]map[*model.Machine]model.MachineStream{}
		r.queue = workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[registration.Key](20*time.Millisecond, 10*time.Second))
	})
}

// Admit a machine, by what is known of its group now.
func (r *Registrar) Admit(m *model.Machine) (string, error) {
	objects := r.Objects()
	if !objects.Known {
		return "", status.Error(codes.Unavailable, "the control plane has not read the cluster yet")
	}
	key := registration.KeyOf(m)
	group := registration.Find(objects.Groups, registration.Key{Namespace: m.Namespace, Name: m.Group})
	refusal := registration.Admit(m, group, registration.Find(objects.Entries, key))
	if refusal == nil {
		return key.Name, nil
	}
	r.Metrics.errors.Inc()
	code := codes.InvalidArgument
	switch refusal.Reason {
	case registration.NoGroup:
		code = codes.FailedPrecondition
	case registration.Denied:
		code = codes.PermissionDenied
	case registration.Malformed:
	}
	return "", status.Error(code, refusal.Message)
}

// Says what a machine's stream says now.
func (r *Registrar) Says(m *model.Machine, s *model.MachineStream) {
	r.start()
	key := registration.KeyOf(m)
	r.mu.Lock()
	streams := r.machines[key]
	switch {
	case s == nil:
		delete(streams, m)
		if len(streams) == 0 {
			delete(r.machines, key)
		}
	case streams == nil:
		r.machines[key] = map[*model.Machine]model.MachineStream{m: *s}
	default:
		streams[m] = *s
	}
	r.mu.Unlock()
	r.queue.Add(key)
}

// here is what this replica knows of an entry's machine: it is configured since the
// last of its streams came, and is as its last report says.
func (r *Registrar) here(key registration.Key) registration.Here {
	h := registration.Here{Replica: r.Replica, Now: time.Now()}
	r.mu.Lock()
	defer r.mu.Unlock()
	for m, s := range r.machines[key] {
		// The machine of the newest stream that configures it, else of any: what is
		// written is by the former alone.
		if h.Machine == nil || s.Configured.After(h.Since) {
			h.Machine = m
		}
		if s.Configured.After(h.Since) {
			h.Since = s.Configured
		}
		if s.Health != nil && (h.Health == nil || s.Health.At.After(h.Health.At)) {
			h.Health = s.Health
		}
	}
	return h
}

// Serves is true while a machine gets its configuration here.
func (r *Registrar) Serves() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, streams := range r.machines {
		for _, s := range streams {
			if !s.Configured.IsZero() {
				return true
			}
		}
	}
	return false
}

// Run writes until ctx ends; it returns ctx's error.
func (r *Registrar) Run(ctx context.Context) error {
	r.start()
	var all sync.WaitGroup
	defer all.Wait()
	defer r.queue.ShutDown()
	for range writers {
		all.Go(func() {
			for r.work(ctx) {
			}
		})
	}
	for {
		r.lookAgain()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.Changed:
		}
	}
}

// lookAgain at all that this replica has a say in.
func (r *Registrar) lookAgain() {
	r.mu.Lock()
	keys := make([]registration.Key, 0, len(r.machines))
	for k := range r.machines {
		keys = append(keys, k)
	}
	r.mu.Unlock()
	for _, k := range keys {
		r.queue.Add(k)
	}
	for _, e := range r.Objects().Entries {
		if e.Annotations[registration.ControllerAnnotation] == r.Replica {
			r.queue.Add(registration.Key{Namespace: e.Namespace, Name: e.Name})
		}
	}
}

// work on one entry; false when there is nothing more to do.
func (r *Registrar) work(ctx context.Context) bool {
	key, ended := r.queue.Get()
	if ended {
		return false
	}
	defer r.queue.Done(key)
	err := r.register(ctx, key)
	switch {
	case err == nil:
		r.queue.Forget(key)
	case ctx.Err() == nil:
		if !errors.Is(err, errChanged) {
			r.Metrics.errors.Inc()
			logr.FromContextOrDiscard(ctx).WithName("machines").Info("a machine's WorkloadEntry isn't written, it is tried again",
				"namespace", key.Namespace, "name", key.Name, "cause", err.Error())
		}
		r.queue.AddRateLimited(key)
	}
	return true
}

// register writes what is to be written of an entry, step by step. What was read
// last may be old: it only tells whether it is worth asking.
func (r *Registrar) register(ctx context.Context, key registration.Key) error {
	objects := r.Objects()
	h := r.here(key)
	if !objects.Known {
		return nil
	}
	entry := registration.Find(objects.Entries, key)
	group := func() *networking.WorkloadGroup {
		if h.Machine == nil {
			return nil
		}
		return registration.Find(objects.Groups, registration.Key{Namespace: h.Machine.Namespace, Name: h.Machine.Group})
	}()
	c := registration.Next(entry, group, h)
	if c.None() {
		return nil
	}
	entry, err := read(ctx, r.Client, key)
	if err != nil {
		return err
	}
	for range mostSteps {
		if c = registration.Next(entry, group, h); c.None() {
			return nil
		}
		if entry, err = write(ctx, r.Client, entry, c); err != nil {
			return err
		}
		r.Metrics.count(c)
	}
	return fmt.Errorf("WorkloadEntry %s/%s doesn't become what is written; see which webhook changes it", key.Namespace, key.Name)
}
