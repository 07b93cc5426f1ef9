// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"cmp"
	"context"
	"crypto/tls"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/ingest/security"
	"github.com/isthmesh/isthmesh/controlplane/refetch"
)

// Options of a Fetcher. Zero fields take what is said of them.
type Options struct {
	// Permit says whether a key set may be fetched from an address; Guard().
	Permit func(netip.Addr) error
	// TLS of connections; nil verifies with the system's roots.
	TLS *tls.Config
	// Refresh is how often key sets are fetched again; 20 minutes, as in Istio.
	Refresh time.Duration
	// Retry is the first pause after a failure; it doubles up to Refresh. 1 second.
	Retry time.Duration
	// MaxAge is how long a key set is used when it can't be fetched any more; a day.
	MaxAge time.Duration
}

// Fetcher keeps key sets. It may be used by many goroutines.
type Fetcher struct {
	client *http.Client
	loop   *refetch.Loop[string, string]

	mu       sync.Mutex
	timeouts map[string]time.Duration
}

// Result is what was fetched and what could not be. It is immutable: a change
// makes new maps.
type Result struct {
	// Keys are key sets by address.
	Keys map[string]string
	// Failures say why an address has no key set, or still an old one.
	Failures map[string]string
}

// parallel fetches at most.
const parallel = 8

// New makes a fetcher; changed is called after its Result changed.
func New(o Options, changed func()) *Fetcher {
	if o.Permit == nil {
		o.Permit = Guard()
	}
	o.Refresh = cmp.Or(o.Refresh, 20*time.Minute)
	f := &Fetcher{client: client(o.Permit, o.TLS)}
	f.loop = refetch.New(refetch.Options[string, string]{
		Fetch: f.attempt, Changed: changed, Parallel: parallel, Retry: o.Retry, Longest: o.Refresh,
		Refresh: o.Refresh, MaxAge: cmp.Or(o.MaxAge, 24*time.Hour),
	})
	return f
}

// Want these key sets and no others. New ones are fetched at once.
func (f *Fetcher) Want(wanted []security.Wanted) {
	timeouts := make(map[string]time.Duration, len(wanted))
	for _, w := range wanted {
		timeouts[w.URI] = w.Timeout
	}
	f.mu.Lock()
	f.timeouts = timeouts
	f.mu.Unlock()
	f.loop.Want(addresses(wanted))
}

func addresses(wanted []security.Wanted) []string {
	out := make([]string, 0, len(wanted))
	for _, w := range wanted {
		out = append(out, w.URI)
	}
	return out
}

func (f *Fetcher) attempt(ctx context.Context, address string) (string, error) {
	f.mu.Lock()
	timeout := f.timeouts[address]
	f.mu.Unlock()
	return fetch(ctx, f.client, address, timeout)
}

// Result as it is now.
func (f *Fetcher) Result() Result {
	r := f.loop.Result()
	return Result{Keys: r.Values, Failures: r.Failures}
}

// Run until the context ends.
func (f *Fetcher) Run(ctx context.Context) error { return f.loop.Run(ctx) }

// Settled is true when each of these has been tried: there is a key set, or a
// failure.
func (f *Fetcher) Settled(wanted []security.Wanted) bool { return f.loop.Settled(addresses(wanted)) }
