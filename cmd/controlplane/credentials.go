// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/isthmesh/isthmesh/controllers/credentials"
	"github.com/isthmesh/isthmesh/controlplane/informers"
	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/credential"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

const (
	// credentialPatience is how long the first push waits for the Secrets that
	// gateways refer to.
	credentialPatience = 30 * time.Second
	// bindAgain is how often rights on Secrets are brought to what is wanted,
	// also when nothing changed: somebody else may have changed them.
	bindAgain = time.Minute
)

// references has the Secrets and ConfigMaps read that a mesh leans on: first it
// gets the right to, then it watches them.
type references struct {
	objects *informers.Set
	binder  *credentials.Binder
	// news is written when there is another list, done told when it was acted on.
	news chan struct{}
	done func()

	mu     sync.Mutex
	wanted []model.CredentialRef
	acted  bool
}

func newReferences(objects *informers.Set, binder *credentials.Binder, done func()) *references {
	return &references{objects: objects, binder: binder, done: done, news: make(chan struct{}, 1), acted: true}
}

// want what a mesh leans on. It doesn't wait.
func (r *references) want(result *ingest.Result) {
	refs := slices.Concat(result.References(), credential.Wanted(result.Mesh), pullSecrets(result))
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Equal(refs, r.wanted) {
		return
	}
	r.wanted, r.acted = refs, false
	select {
	case r.news <- struct{}{}:
	default: // it has yet to look, and will see this too
	}
}

// settled is true when all that is wanted has been read, or can't be.
func (r *references) settled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.acted && r.objects.Settled()
}

// run until ctx ends.
func (r *references) run(ctx context.Context) error {
	log := logr.FromContextOrDiscard(ctx).WithName("credentials")
	again := time.NewTicker(bindAgain)
	defer again.Stop()
	for {
		r.mu.Lock()
		refs := r.wanted
		r.mu.Unlock()
		if err := r.binder.Bind(ctx, namespacesOf(refs)); err != nil && ctx.Err() == nil {
			log.Error(err, "the right to read what gateways refer to could not be brought up to date; it is tried again", "after", bindAgain.String())
		}
		if err := r.objects.Refer(ctx, refs); err != nil {
			log.Error(err, "some Secrets or ConfigMaps that gateways refer to are not read")
		}
		r.mu.Lock()
		r.acted = slices.Equal(refs, r.wanted)
		r.mu.Unlock()
		r.done()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.news:
		case <-again.C:
		}
	}
}

// namespacesOf references, sorted.
func namespacesOf(refs []model.CredentialRef) []string {
	var out []string
	for _, r := range refs {
		if r.Namespace != "" {
			out = append(out, r.Namespace)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
