// SPDX-License-Identifier: Apache-2.0

// Package nds receives what the control plane tells the agent itself: a delta
// xDS stream of its own, shown the workload's certificate. The names that only
// the mesh knows (type NameTable) go to dns as a whole map each time. What is to
// be set in Envoy's runtime goes to drain: that the pod is being deleted, and
// others are there for its callers. While the control plane is away, what was
// received stays.
package nds

//go:generate protoc --go_out=. --go_opt=module=github.com/isthmesh/isthmesh/controlplane/agent/nds nametable.proto

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"github.com/go-logr/logr"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"
	"k8s.io/utils/clock"

	"github.com/isthmesh/isthmesh/controlplane/agent/csr"
	ndsv1 "github.com/isthmesh/isthmesh/controlplane/agent/nds/v1"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/federation/trust"
)

// Type is the type of the resources that are asked for.
const Type = "type.googleapis.com/istio.networking.nds.v1.NameTable"

// maxMessage is far above what a table of 100,000 names takes.
const maxMessage = 64 << 20

const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// Client keeps the names of one pod.
type Client struct {
	// Address is "host:port" of the control plane, ServerName the name that
	// its certificate must have.
	Address, ServerName string
	// ServerID is the identity that its certificate must have, too: the name is
	// the same in every member.
	ServerID spiffeid.ID
	Node     *corev3.Node
	// Leaf is the workload's certificate of the moment.
	Leaf func() *csr.Leaf
	// Publish takes all names, each time something changed. The map is read only.
	Publish func(map[string]*ndsv1.NameTable_NameInfo)
	// Terminating is called, maybe again and again, when callers are to go
	// elsewhere because the pod is being deleted.
	Terminating func(context.Context)
	Clock       clock.Clock
	Random      func() float64

	tables Tables
}

// Run keeps a stream to the control plane until the context ends. A stream
// that breaks is opened again with growing pauses, and told what is known.
func (c *Client) Run(ctx context.Context) {
	log := logr.FromContextOrDiscard(ctx)
	pause, told := firstRetry, ""
	for ctx.Err() == nil {
		received, err := c.stream(ctx)
		if ctx.Err() != nil {
			return
		}
		if received {
			pause, told = firstRetry, ""
		}
		// A stream that ended in order is opened again and is no news.
		if !errors.Is(err, io.EOF) && err.Error() != told {
			told = err.Error()
			log.Info("Names of the mesh are not updated, trying again", "cause", told)
		}
		select {
		case <-ctx.Done():
			return
		case <-c.Clock.After(time.Duration(float64(pause) * (0.5 + 0.5*c.Random()))):
		}
		pause = min(2*pause, lastRetry)
	}
}

// stream tells whether anything was received before it broke.
func (c *Client) stream(ctx context.Context) (bool, error) {
	conn, err := Dial(c.Address, c.ServerName, c.ServerID, c.Leaf())
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return false, fmt.Errorf("ask for names: %w", err)
	}
	err = stream.Send(&discoveryv3.DeltaDiscoveryRequest{
		Node: c.Node, TypeUrl: Type, ResourceNamesSubscribe: []string{"*"},
		InitialResourceVersions: c.tables.Versions(),
	})
	if err == nil {
		err = stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.RuntimeType, ResourceNamesSubscribe: []string{"*"}})
	}
	received := false
	for err == nil {
		var answer *discoveryv3.DeltaDiscoveryResponse
		if answer, err = stream.Recv(); err != nil {
			break
		}
		received = true
		ack := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: answer.GetTypeUrl(), ResponseNonce: answer.GetNonce()}
		if refused := c.take(ctx, answer); refused != nil {
			ack.ErrorDetail = &status.Status{Code: 3, Message: refused.Error()}
		}
		err = stream.Send(ack)
	}
	return received, err
}

// take hands an answer to whom it is for.
func (c *Client) take(ctx context.Context, answer *discoveryv3.DeltaDiscoveryResponse) error {
	if answer.GetTypeUrl() == envoy.RuntimeType {
		going, err := Terminating(answer)
		if going {
			c.Terminating(ctx)
		}
		return err
	}
	changed, err := c.tables.Apply(answer)
	if err == nil && changed {
		c.Publish(c.tables.Names())
	}
	return err
}

// Terminating tells whether an answer of type Runtime sets the key that says so.
func Terminating(answer *discoveryv3.DeltaDiscoveryResponse) (bool, error) {
	for _, r := range answer.GetResources() {
		layer := &runtimev3.Runtime{}
		if err := r.GetResource().UnmarshalTo(layer); err != nil {
			return false, fmt.Errorf("resource %q: %w", r.GetName(), err)
		}
		if layer.GetLayer().GetFields()[envoy.TerminatingKey].GetNumberValue() > 0 {
			return true, nil
		}
	}
	return false, nil
}

// Dial the control plane at an address with the workload's certificate; its own
// must have the name and the identity.
func Dial(address, name string, id spiffeid.ID, leaf *csr.Leaf) (*grpc.ClientConn, error) {
	certificate, err := leaf.TLS()
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(leaf.Roots)
	config := trust.ControlPlaneClientConfig(name, id, roots)
	config.Certificates = []tls.Certificate{certificate}
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithNoProxy(),
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}))
	if err != nil {
		return nil, fmt.Errorf("reach the control plane at %s: %w", address, err)
	}
	return conn, nil
}

// Tables are the NameTable resources of one pod by their names. The zero value
// is empty. It is not safe for concurrent use.
type Tables struct {
	resources map[string]table
}

type table struct {
	version string
	names   *ndsv1.NameTable
}

// Versions are what a new stream tells the control plane that is known.
func (t *Tables) Versions() map[string]string {
	out := make(map[string]string, len(t.resources))
	for name, r := range t.resources {
		out[name] = r.version
	}
	return out
}

// Apply takes an answer, whole or not at all, and tells whether it changed anything.
func (t *Tables) Apply(answer *discoveryv3.DeltaDiscoveryResponse) (bool, error) {
	fresh := make(map[string]table, len(answer.GetResources()))
	for _, r := range answer.GetResources() {
		names := &ndsv1.NameTable{}
		if err := r.GetResource().UnmarshalTo(names); err != nil {
			return false, fmt.Errorf("resource %q: %w", r.GetName(), err)
		}
		fresh[r.GetName()] = table{version: r.GetVersion(), names: names}
	}
	changed := false
	for _, name := range answer.GetRemovedResources() {
		if _, ok := t.resources[name]; ok {
			delete(t.resources, name)
			changed = true
		}
	}
	if t.resources == nil {
		t.resources = map[string]table{}
	}
	for name, r := range fresh {
		if old, ok := t.resources[name]; !ok || !proto.Equal(old.names, r.names) {
			changed = true
		}
		t.resources[name] = r
	}
	return changed, nil
}

// Names are all names of all resources.
func (t *Tables) Names() map[string]*ndsv1.NameTable_NameInfo {
	out := map[string]*ndsv1.NameTable_NameInfo{}
	for resource, r := range t.resources {
		for name, info := range r.names.GetTable() {
			out[name] = info
		}
		if info := r.names.GetNameInfo(); info != nil {
			out[resource] = info
		}
	}
	return out
}
