// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"k8s.io/utils/clock"

	"github.com/isthmesh/isthmesh/controlplane/agent/bootstrap"
	"github.com/isthmesh/isthmesh/controlplane/agent/csr"
	"github.com/isthmesh/isthmesh/controlplane/agent/nds"
	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/patch"
)

const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// Client asks for the patches of one proxy.
type Client struct {
	// Address is "host:port" of the control plane; ServerName and ServerID are
	// what its certificate must have.
	Address, ServerName string
	ServerID            spiffeid.ID
	Node                *corev3.Node
	// Leaf is the workload's certificate of the moment.
	Leaf   func() *csr.Leaf
	Clock  clock.Clock
	Random func() float64
}

// Refusal is a patch that the proxy can't take, by name, and why.
type Refusal struct {
	Patch  bootstrap.Patch
	Reason string
}

// Fetch asks once. The patches are in the order in which they are merged.
func (c *Client) Fetch(ctx context.Context) ([]bootstrap.Patch, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var out []bootstrap.Patch
	err := c.stream(ctx, func(answer *discoveryv3.DeltaDiscoveryResponse) (string, bool) {
		var wrong string
		for _, r := range answer.GetResources() {
			value := &bootstrapv3.Bootstrap{}
			if err := r.GetResource().UnmarshalTo(value); err != nil {
				wrong = fmt.Sprintf("patch %q can't be read: %v", r.GetName(), err)
				continue
			}
			out = append(out, bootstrap.Patch{Name: r.GetName(), Replace: patch.MergesBootstrap(r.GetName()), Value: value})
		}
		return wrong, false
	})
	if err != nil {
		return nil, fmt.Errorf("ask for patches of the bootstrap: %w", err)
	}
	slices.SortFunc(out, func(a, b bootstrap.Patch) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Refuse tells the control plane of patches that can't be, until the context
// ends: it shows whoever wrote them.
func (c *Client) Refuse(ctx context.Context, refused []Refusal) {
	pause := firstRetry
	for ctx.Err() == nil {
		_ = c.stream(ctx, func(answer *discoveryv3.DeltaDiscoveryResponse) (string, bool) {
			pause = firstRetry
			return refusal(answer, refused), true
		})
		select {
		case <-ctx.Done():
		case <-c.Clock.After(time.Duration(float64(pause) * (0.5 + 0.5*c.Random()))):
		}
		pause = min(2*pause, lastRetry)
	}
}

// refusal of an answer, in words; empty when there is nothing in it that was refused.
func refusal(answer *discoveryv3.DeltaDiscoveryResponse, refused []Refusal) string {
	var parts []string
	for _, r := range answer.GetResources() {
		for _, no := range refused {
			value := &bootstrapv3.Bootstrap{}
			if patchOf(no.Patch.Name) != patchOf(r.GetName()) || r.GetResource().UnmarshalTo(value) != nil || !proto.Equal(value, no.Patch.Value) {
				continue // another, or mended
			}
			parts = append(parts, fmt.Sprintf("%s: %s", r.GetName(), no.Reason))
		}
	}
	return strings.Join(parts, "; ")
}

// patchOf a resource's name is what comes after its place among the others.
func patchOf(name string) string {
	_, of, _ := strings.Cut(name, "/")
	return of
}

// stream hands each answer to take, which says what is wrong with it and whether
// to wait for more.
func (c *Client) stream(ctx context.Context, take func(*discoveryv3.DeltaDiscoveryResponse) (wrong string, more bool)) error {
	conn, err := nds.Dial(c.Address, c.ServerName, c.ServerID, c.Leaf())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return err
	}
	request := &discoveryv3.DeltaDiscoveryRequest{Node: c.Node, TypeUrl: envoy.BootstrapType, ResourceNamesSubscribe: []string{"*"}}
	for {
		if err := stream.Send(request); err != nil {
			return err
		}
		answer, err := stream.Recv()
		if err != nil {
			return err
		}
		request = &discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.BootstrapType, ResponseNonce: answer.GetNonce()}
		wrong, more := take(answer)
		if wrong != "" {
			request.ErrorDetail = &rpcstatus.Status{Code: int32(codes.InvalidArgument), Message: wrong}
		}
		if !more {
			// Whoever looks at proxies must not find one that never answers.
			_ = stream.Send(request)
			return stream.CloseSend()
		}
	}
}
