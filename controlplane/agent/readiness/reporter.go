// SPDX-License-Identifier: Apache-2.0

package readiness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/go-logr/logr"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/genproto/googleapis/rpc/status"
	"k8s.io/utils/clock"

	"github.com/isthmesh/isthmesh/controlplane/agent/csr"
	"github.com/isthmesh/isthmesh/controlplane/agent/nds"
)

// Type is the type of the requests that tell a state, as Istio's agent sends them.
const Type = "type.googleapis.com/istio.v1.HealthInformation"

const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// Reporter tells the control plane the state of an application, on a stream of
// its own with the proxy's node. NewReporter makes one; the fields are set
// before Run.
type Reporter struct {
	// Address is "host:port" of the control plane; ServerName and ServerID are
	// what its certificate must have.
	Address, ServerName string
	ServerID            spiffeid.ID
	Node                *corev3.Node
	// Leaf is the workload's certificate of the moment.
	Leaf   func() *csr.Leaf
	Clock  clock.Clock
	Random func() float64

	states chan State
}

// NewReporter makes a Reporter that has nothing to tell yet.
func NewReporter() *Reporter { return &Reporter{states: make(chan State, 1)} }

// Tell keeps a state to be told; one that was not told yet is forgotten. It
// never blocks, and is for one goroutine.
func (r *Reporter) Tell(s State) {
	select {
	case <-r.states:
	default:
	}
	r.states <- s
}

// Run tells states until the context ends. A stream that breaks is opened again
// with growing pauses, and the newest state is said again.
func (r *Reporter) Run(ctx context.Context) {
	log := logr.FromContextOrDiscard(ctx)
	var state State
	select {
	case <-ctx.Done():
		return
	case state = <-r.states:
	}
	wait, told := firstRetry, ""
	for {
		began := r.Clock.Now()
		var err error
		state, err = r.stream(ctx, state)
		if ctx.Err() != nil {
			return
		}
		if r.Clock.Since(began) > lastRetry {
			wait, told = firstRetry, ""
		}
		// A stream that ended in order is opened again and is no news.
		if !errors.Is(err, io.EOF) && err.Error() != told {
			told = err.Error()
			log.Info("The control plane isn't told whether the application is ready, trying again", "cause", told)
		}
		select {
		case <-ctx.Done():
			return
		case <-r.Clock.After(time.Duration(float64(wait) * (0.5 + 0.5*r.Random()))):
		}
		wait = min(2*wait, lastRetry)
	}
}

// stream tells a state and those that come after it. It returns the newest, and
// why the stream ended.
func (r *Reporter) stream(ctx context.Context, state State) (State, error) {
	conn, err := nds.Dial(r.Address, r.ServerName, r.ServerID, r.Leaf())
	if err != nil {
		return state, err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return state, fmt.Errorf("tell readiness: %w", err)
	}
	ended := make(chan error, 1)
	go func() {
		// Nothing is answered: what counts is when it breaks, and why.
		for {
			if _, err := stream.Recv(); err != nil {
				ended <- err
				return
			}
		}
	}()
	node := r.Node
	for {
		// What was said meanwhile goes instead.
		select {
		case state = <-r.states:
		default:
		}
		if err := stream.Send(request(node, state)); err != nil {
			return state, <-ended // which has the reason
		}
		node = nil
		select {
		case err := <-ended:
			return state, err
		case state = <-r.states:
		}
	}
}

// request that tells a state: an error means unready.
func request(node *corev3.Node, s State) *discoveryv3.DeltaDiscoveryRequest {
	out := &discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: Type}
	if !s.Ready {
		out.ErrorDetail = &status.Status{Code: http.StatusInternalServerError, Message: s.Message}
	}
	return out
}
