// SPDX-License-Identifier: Apache-2.0

package wasm

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/isthmesh/isthmesh/controlplane/ingest/extensions"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/refetch"
)

// Options of a Fetcher.
type Options struct {
	// Permit says whether a module may be fetched from an address; see Guard.
	Permit func(netip.Addr) error
	// TLS of connections; nil verifies with the system's roots.
	TLS *tls.Config
	// Plain are registries, as "host" or "host:port", that are asked without TLS.
	Plain []string
	// Secret reads the Docker configuration (JSON) in a Secret; nil knows none.
	Secret func(ctx context.Context, namespace, name string) ([]byte, error)
	// MaxBytes of a module, and of what it is packed in; DefaultMaxBytes.
	MaxBytes int64
	// Timeout of one attempt; 2 minutes.
	Timeout time.Duration
	// Retry is the first pause after a failure; it doubles up to a minute. 1 second.
	Retry time.Duration
	// Registry of metrics; nil counts nothing.
	Registry *prometheus.Registry
}

// DefaultMaxBytes of a module. Every proxy that runs it gets it by its
// configuration stream.
const DefaultMaxBytes = 64 << 20

// longestPause between attempts.
const longestPause = time.Minute

// parallel fetches at most: each may hold MaxBytes several times.
const parallel = 4

// Fetcher keeps modules in memory. It may be used by many goroutines.
//
// One that is wanted anew because its object changed is the old one until it was
// fetched.
type Fetcher struct {
	*refetch.Loop[extensions.Wanted, *model.WasmModule]
	options Options
	client  *http.Client
	fetches *prometheus.CounterVec
}

// Result is what was fetched and what could not be. It is immutable: a change
// makes new maps.
type Result struct {
	Modules map[extensions.Wanted]*model.WasmModule
	// Failures say why a module isn't there, or is still an old one.
	Failures map[extensions.Wanted]string
}

// New makes a fetcher; changed is called after its Result changed.
func New(o Options, changed func()) *Fetcher {
	if o.Permit == nil {
		o.Permit = Guard()
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Minute
	}
	f := &Fetcher{
		options: o, client: client(o.Permit, o.TLS),
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "isthmesh_wasm_fetches_total", Help: "Attempts to fetch a module of a WasmPlugin, by result.",
		}, []string{"result"}),
	}
	if o.Registry != nil {
		o.Registry.MustRegister(f.fetches)
	}
	f.Loop = refetch.New(refetch.Options[extensions.Wanted, *model.WasmModule]{
		Fetch: f.attempt, Changed: changed, Parallel: parallel, Retry: o.Retry, Longest: longestPause,
		Source: extensions.Wanted.Source,
		Same:   func(a, b *model.WasmModule) bool { return a.SHA256 == b.SHA256 },
	})
	return f
}

// Result as it is now.
func (f *Fetcher) Result() Result {
	r := f.Loop.Result()
	return Result{Modules: r.Values, Failures: r.Failures}
}

func (f *Fetcher) attempt(ctx context.Context, w extensions.Wanted) (*model.WasmModule, error) {
	timed, cancel := context.WithTimeout(ctx, f.options.Timeout)
	defer cancel()
	code, err := f.fetch(timed, w)
	switch {
	case ctx.Err() != nil: // the control plane ends
		return nil, ctx.Err()
	case err != nil:
		f.fetches.WithLabelValues("failure").Inc()
		return nil, err
	}
	f.fetches.WithLabelValues("success").Inc()
	sum := sha256.Sum256(code)
	return &model.WasmModule{SHA256: hex.EncodeToString(sum[:]), Code: code}, nil
}
