// SPDX-License-Identifier: Apache-2.0

package member

import (
	"cmp"
	"context"
	"crypto/tls"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Options of a Client.
type Options struct {
	// Hub says where the hub is and how it is verified.
	Hub Hub
	// Member is this member's own name; Network its network.
	Member  model.ClusterID
	Network model.NetworkID
	// Version of the control plane and Instance (the pod's name) tell replicas apart.
	Version, Instance string
	// Certificate gives the client certificate of this control plane, a leaf of
	// the member's own CA with its chain; asked at each dial.
	Certificate func() (*tls.Certificate, error)
	// Store keeps the last imports; nil keeps none.
	Store Store
	// OnImports is told each new state of the imports, never concurrently; states
	// that came while it was busy are skipped. The value is immutable and shares
	// what did not change with the one before.
	OnImports func(*model.Imports)
	// OnRefused is told all exports of this member that are refused, sorted, when
	// that changed, under the same terms as OnImports. Optional.
	OnRefused func([]Refusal)
	Log       logr.Logger
	// Clock and Rand (0 <= r < 1) time the reconnects; real ones by default.
	Clock clock.WithTicker
	Rand  func() float64
	// MinBackoff and MaxBackoff bound the time between attempts to connect;
	// half a second and 30 seconds by default.
	MinBackoff, MaxBackoff time.Duration
	// SaveInterval is the least time between two writes to the Store, the most is
	// twice that; 2 seconds by default.
	SaveInterval time.Duration
	// AnswerTimeout is how long exports may stay without any acknowledgement
	// before the stream is given up; 30 seconds by default.
	AnswerTimeout time.Duration
}

// State of a Client, for status and metrics.
type State struct {
	// Connected since; zero while there is no stream.
	Connected time.Time
	// Synced: the hub has sent all that there was to import when it connected,
	// and holds all that this member exports.
	Synced bool
	// LastError is why the last stream or dial ended; empty while connected.
	LastError string
	// StoreError is why the imports could not be loaded or saved; empty when they could.
	StoreError string
	// Refused exports, sorted.
	Refused []Refusal
	// Imported is the number of services held, over all members.
	Imported int
}

// Refusal is the reason not to take an export, or only a part of it.
type Refusal struct {
	Namespace, Name string
	// Reason is one CamelCase word, or several joined by commas.
	Reason  string
	Message string
}

// Client is the member's end of the stream. It is for concurrent use.
type Client struct {
	options Options

	mu      sync.Mutex
	exports exports
	imports *imports
	// synced is false until there was something to start from: a kept state or an update.
	synced    bool
	importAck uint64 // nonce that is due to be acknowledged; 0 for none
	complete  bool
	told      []Refusal // that OnRefused was last given
	unreached unreached
	state     State

	// Each of these wakes one loop; a wake that is already there says enough.
	send, publish, save wake
}

// wake is a signal that coalesces.
type wake chan struct{}

func (w wake) up() {
	select {
	case w <- struct{}{}:
	default:
	}
}

// New makes a Client; Load and then Run start it.
func New(o Options) *Client {
	o.MinBackoff = cmp.Or(o.MinBackoff, 500*time.Millisecond)
	o.MaxBackoff = cmp.Or(o.MaxBackoff, 30*time.Second)
	o.SaveInterval = cmp.Or(o.SaveInterval, 2*time.Second)
	o.AnswerTimeout = cmp.Or(o.AnswerTimeout, 30*time.Second)
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	return &Client{
		options: o,
		imports: newImports(o.Member, o.Network),
		send:    make(wake, 1), publish: make(wake, 1), save: make(wake, 1),
	}
}

// SetExports replaces what this member exports, as Export returns it. It never
// blocks. Until it was called nothing is said to the hub about exports, and the
// hub keeps what it knows.
func (c *Client) SetExports(list []*model.Export) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.exports.set(list) {
		c.send.up()
	}
	c.publish.up() // for refusals of its own
}

// State of the stream.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.state
	s.Refused = c.exports.allRefused()
	s.Imported = c.imports.services
	s.Synced = c.complete && c.exports.welcomed && c.exports.known && !c.exports.due() && c.exports.sent == c.exports.acked
	return s
}

// Run keeps a stream to the hub until ctx ends; it returns ctx's error. While
// there is no stream, the imports stay as they are.
func (c *Client) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	loops.Go(func() { c.publishLoop(ctx) })
	loops.Go(func() { c.saveLoop(ctx) })
	defer loops.Wait()
	wait := backoff{min: c.options.MinBackoff, max: c.options.MaxBackoff, random: c.options.Rand}
	for {
		began := c.options.Clock.Now()
		err := c.session(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.ended(err)
		if c.options.Clock.Since(began) > c.options.MaxBackoff {
			wait.reset()
		}
		timer := c.options.Clock.NewTimer(wait.next())
		select {
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// ended records why there is no stream; the same reason again is not logged.
func (c *Client) ended(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.exports.lost()
	c.unreached.taken = false
	c.complete, c.importAck = false, 0
	if again := c.state.Connected.IsZero() && c.state.LastError == err.Error(); !again {
		c.options.Log.Info("No stream to the hub: imports stay as they are, exports wait", "hub", c.options.Hub.Address, "reason", err.Error())
	}
	c.state.Connected = time.Time{}
	c.state.LastError = err.Error()
}

// publishLoop hands the newest state to the callbacks, off the receiving loop.
func (c *Client) publishLoop(ctx context.Context) {
	var last *model.Imports
	for {
		select {
		case <-c.publish:
		case <-ctx.Done():
			return
		}
		imports, refused := c.published()
		if imports != nil && !same(last, imports) && c.options.OnImports != nil {
			c.options.OnImports(imports)
			last = imports
		}
		if refused != nil && c.options.OnRefused != nil {
			c.options.OnRefused(*refused)
		}
	}
}

// published is the newest state; imports are nil while there never was one,
// refused is nil when it is what it was.
func (c *Client) published() (imports *model.Imports, refused *[]Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.synced {
		imports = c.imports.build()
	}
	if now := c.exports.allRefused(); !slices.Equal(now, c.told) {
		c.told = now
		refused = &now
	}
	return imports, refused
}

// same is true when two states share all that they hold, so nothing changed.
func same(a, b *model.Imports) bool {
	return a != nil && slices.EqualFunc(a.Members, b.Members, func(x, y model.ImportedMember) bool {
		return x.Cluster == y.Cluster && x.Network == y.Network && x.TrustDomain == y.TrustDomain && x.Locality == y.Locality &&
			x.Cordoned == y.Cordoned && slices.Equal(x.Gateways, y.Gateways) && slices.Equal(x.Services, y.Services)
	})
}
