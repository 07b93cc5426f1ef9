// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Snapshot is all that proxies may see. It is used concurrently. Proxies of one
// class get views with the same layers, and two snapshots share the layers and
// resources that did not change.
type Snapshot interface {
	// View of a proxy; nil when it may see nothing.
	View(p *model.Proxy) *envoy.View
	// Workload is a pod; nil when it isn't known.
	Workload(namespace, name string) *model.Workload
}

// Authenticator tells who opened a stream. Its errors are gRPC statuses.
type Authenticator interface {
	Authenticate(ctx context.Context) (*authn.Caller, error)
}

// Machines hears of proxies outside of the cluster that are to be registered:
// those whose metadata has AUTO_REGISTER_GROUP. It is used concurrently, and must
// neither block nor call the Server.
type Machines interface {
	// Admit a machine, whose stream has just told what it is. Name is what it is
	// called in the mesh from now on; an error, a gRPC status, ends the stream.
	Admit(m *model.Machine) (name string, err error)
	// Says what an admitted machine's stream says now, all of it; nil when the
	// stream has ended.
	Says(m *model.Machine, s *model.MachineStream)
}

// Options of a Server.
type Options struct {
	// Authenticator of streams; required.
	Authenticator Authenticator
	// Registry takes the metrics; nil keeps them to the server.
	Registry prometheus.Registerer
	// Log is told of streams that end otherwise than by their clients.
	Log logr.Logger
	// Rejected is told that a proxy rejected something, which Rejections has; nil
	// tells nobody. It must not block, nor call the Server.
	Rejected func()
	// Machines are told of; nil takes each of them for a pod of its name.
	Machines Machines
	// Limits; zero fields take the standard ones.
	Limits Limits
	// Jitter returns a random duration below its argument; nil takes a random one.
	Jitter func(time.Duration) time.Duration
}

// Limits of what one client can cost, and of how long it is waited for.
type Limits struct {
	// Metadata of a node, in bytes; 64 KiB.
	Metadata int
	// Subscriptions by name per stream and type; 50,000.
	Subscriptions int
	// Streams per identity; 4,096. A workload of n pods has 2n.
	Streams int
	// Answer is how long the answer to a response holds back the next; 5 s.
	Answer time.Duration
	// Send is how long a client may refuse to take a response, or put off saying
	// who it is, before it is dropped; 20 s.
	Send time.Duration
	// Expiry is the time after the end of its credential within which a stream is
	// closed; streams are spread over it; 30 s.
	Expiry time.Duration
}

func (l Limits) orStandard() Limits {
	set(&l.Metadata, 64<<10)
	set(&l.Subscriptions, 50_000)
	set(&l.Streams, 4096)
	set(&l.Answer, 5*time.Second)
	set(&l.Send, 20*time.Second)
	set(&l.Expiry, 30*time.Second)
	return l
}

func set[T int | time.Duration](v *T, standard T) {
	if *v == 0 {
		*v = standard
	}
}

func randomJitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d)
}
