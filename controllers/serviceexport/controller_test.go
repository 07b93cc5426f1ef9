// SPDX-License-Identifier: Apache-2.0

package serviceexport_test

import (
	"context"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/mcs-api/config/crd"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	client "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"

	"github.com/isthmesh/isthmesh/controllers/serviceexport"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/federation/member"
	"github.com/isthmesh/isthmesh/test/apiserver"
)

var server *apiserver.Server

func TestMain(m *testing.M) { apiserver.Main(m, &server) }

// world is what the controller is told.
type world struct {
	mu    sync.Mutex
	facts serviceexport.Facts
	// changed is each replica's own: one that isn't told may leave what is old there.
	changed []chan struct{}
}

func (w *world) get() serviceexport.Facts {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.facts
}

func (w *world) set(change func(*serviceexport.Facts)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.facts)
	for _, c := range w.changed {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func run(t *testing.T, w *world, c client.Interface) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done, changed := make(chan struct{}), make(chan struct{}, 1)
	w.mu.Lock()
	w.changed = append(w.changed, changed)
	w.mu.Unlock()
	go func() {
		defer close(done)
		_ = (&serviceexport.Controller{Client: c, Facts: w.get, Changed: changed, Pause: 5 * time.Millisecond}).Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// TestStatus writes to a real API server: the facts change, and the object says so.
func TestStatus(t *testing.T) {
	c := install(t)
	api := c.MulticlusterV1beta1().ServiceExports("default")
	export, err := api.Create(t.Context(), &mcs.ServiceExport{ObjectMeta: metav1.ObjectMeta{Name: "reviews"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	exported := &model.Mesh{Services: []model.ServiceState{{Service: &model.Service{Namespace: "default", Name: "reviews", Exported: true}}}}
	w := &world{facts: serviceexport.Facts{
		Exports: []*mcs.ServiceExport{export},
		Mesh:    &model.Mesh{Problems: []model.Problem{{Kind: "ServiceExport", Namespace: "default", Name: "reviews", Reason: "NoService", Message: "no such Service"}}},
		Stream:  &member.State{LastError: "not yet"},
	}}
	run(t, w, c)
	run(t, w, c) // a second replica
	await := func(want ...string) {
		t.Helper()
		deadline := time.Now().Add(time.Minute)
		look := time.NewTicker(2 * time.Millisecond)
		defer look.Stop()
		for {
			e, err := api.Get(t.Context(), "reviews", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]bool{}
			for _, c := range e.Status.Conditions {
				line := c.Type + " " + string(c.Status) + " " + c.Reason
				got[line] = c.ObservedGeneration == e.Generation
				got[line+": "+c.Message] = true
			}
			missing := ""
			for _, c := range want {
				if !got[c] {
					missing = c
				}
			}
			if missing == "" {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("never %s; it says %v", missing, got)
			}
			<-look.C
		}
	}
	await("Valid False NoService", "Ready False Failed")
	w.set(func(f *serviceexport.Facts) { f.Mesh = exported })
	await("Valid True Valid", "Conflict False NoConflicts")
	w.set(func(f *serviceexport.Facts) { f.Stream = &member.State{Synced: true} })
	await("Ready True Exported")
	w.set(func(f *serviceexport.Facts) {
		f.Stream = &member.State{Synced: true, Refused: []member.Refusal{{Namespace: "default", Name: "reviews", Reason: "PortConflict", Message: "port 80"}}}
	})
	await("Ready True Exported", "Conflict True PortConflict")
	// While the hub is away what is known here still changes, and what the hub said stays.
	w.set(func(f *serviceexport.Facts) {
		f.Stream = &member.State{LastError: "the hub is gone"}
		f.Mesh = &model.Mesh{Services: exported.Services, Problems: []model.Problem{{
			Kind: "ServiceExport", Namespace: "default", Name: "reviews", Field: "spec.exportedLabels", Reason: "NotSupported", Message: "passed over",
		}}}
	})
	await("Valid True Valid: spec.exportedLabels: passed over", "Ready True Exported", "Conflict True PortConflict")
	w.set(func(f *serviceexport.Facts) { f.Stream = &member.State{Synced: true} })
	await("Ready True Exported", "Conflict False NoConflicts")
}

// install puts the definition of the multi-cluster services API into the API server.
func install(t *testing.T) client.Interface {
	t.Helper()
	server.Define(t, crd.ServiceExportCRD)
	c, err := client.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
