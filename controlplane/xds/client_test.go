// SPDX-License-Identifier: Apache-2.0

package xds_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
)

// proxyNode of a sidecar with Istio's id and metadata.
func proxyNode(pod, namespace string, more map[string]any) *corev3.Node {
	meta := map[string]any{"NAMESPACE": namespace, "CLUSTER_ID": "west", "ISTIO_VERSION": "1.31.0"}
	maps.Copy(meta, more)
	s, err := structpb.NewStruct(meta)
	if err != nil {
		panic(err)
	}
	return &corev3.Node{
		Id:       fmt.Sprintf("sidecar~10.0.0.1~%s.%s~%s.svc.cluster.local", pod, namespace, namespace),
		Metadata: s,
	}
}

// client speaks either protocol and writes down what it gets.
type client struct {
	node  *corev3.Node
	delta discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	sotw  discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesClient

	mu    sync.Mutex
	lines []string
	// per short type name
	nonce  map[string]string
	wanted map[string][]string // state of the world repeats it in each request
	has    map[string]map[string]string
	// version of each resource, for initial_resource_versions.
	versions map[string]map[string]string
	auto     bool
	ended    error
}

func dial(ctx context.Context, conn *grpc.ClientConn, node *corev3.Node, sotw bool) (*client, error) {
	c := &client{
		node: node, nonce: map[string]string{}, wanted: map[string][]string{},
		has: map[string]map[string]string{}, versions: map[string]map[string]string{},
	}
	api := discoveryv3.NewAggregatedDiscoveryServiceClient(conn)
	var err error
	if sotw {
		c.sotw, err = api.StreamAggregatedResources(ctx)
	} else {
		c.delta, err = api.DeltaAggregatedResources(ctx)
	}
	if err != nil {
		return nil, err
	}
	go c.receive()
	return c, nil
}

func (c *client) receive() {
	for {
		err := c.receiveOne()
		if err != nil {
			c.mu.Lock()
			c.ended = err
			if s := status.Convert(err); s.Code() != codes.Canceled {
				c.lines = append(c.lines, fmt.Sprintf("< end %s: %s", s.Code(), s.Message()))
			}
			c.mu.Unlock()
			return
		}
	}
}

func (c *client) receiveOne() error {
	if c.sotw != nil {
		r, err := c.sotw.Recv()
		if err != nil {
			return err
		}
		return c.tookWhole(r)
	}
	r, err := c.delta.Recv()
	if err != nil {
		return err
	}
	return c.tookDelta(r)
}

func (c *client) tookDelta(r *discoveryv3.DeltaDiscoveryResponse) error {
	short := shortName[r.GetTypeUrl()]
	line := "< " + short
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.has[short] == nil {
		c.has[short], c.versions[short] = map[string]string{}, map[string]string{}
	}
	for _, res := range r.GetResources() {
		name, w, err := word(res.GetResource())
		if err != nil {
			return err
		}
		if name != res.GetName() || res.GetVersion() == "" {
			return fmt.Errorf("resource %q has name %q and version %q", name, res.GetName(), res.GetVersion())
		}
		line += fmt.Sprintf(" +%s=%s", name, w)
		c.has[short][name], c.versions[short][name] = w, res.GetVersion()
	}
	for _, name := range r.GetRemovedResources() {
		line += " -" + name
		delete(c.has[short], name)
		delete(c.versions[short], name)
	}
	c.lines = append(c.lines, line)
	c.nonce[short] = r.GetNonce()
	if c.auto {
		return c.delta.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()})
	}
	return nil
}

func (c *client) tookWhole(r *discoveryv3.DiscoveryResponse) error {
	short := shortName[r.GetTypeUrl()]
	line := "< " + short
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.has[short] == nil || short == "CDS" || short == "LDS" {
		c.has[short] = map[string]string{}
	}
	for _, res := range r.GetResources() {
		name, w, err := word(res)
		if err != nil {
			return err
		}
		line += fmt.Sprintf(" %s=%s", name, w)
		c.has[short][name] = w
	}
	if r.GetVersionInfo() == "" {
		return fmt.Errorf("response of type %s has no version", short)
	}
	c.lines = append(c.lines, line)
	c.nonce[short] = r.GetNonce()
	c.versions[short] = map[string]string{"": r.GetVersionInfo()}
	if c.auto {
		return c.sotw.Send(&discoveryv3.DiscoveryRequest{
			TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce(), VersionInfo: r.GetVersionInfo(), ResourceNames: c.wanted[short],
		})
	}
	return nil
}

// unlessEnded drops the error of sending on a stream that the server ended:
// why it did is written down when it is received.
func unlessEnded(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// request is a subscription, an answer, or both.
type request struct {
	short                  string
	subscribe, unsubscribe []string
	answer                 bool
	nonce                  string // instead of the last one's
	reject                 string
	initial                map[string]string
	version                string
}

func (c *client) send(r request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	nonce := r.nonce
	if r.answer && nonce == "" {
		nonce = c.nonce[r.short]
	}
	if c.sotw == nil {
		req := &discoveryv3.DeltaDiscoveryRequest{
			Node: c.node, TypeUrl: typeURL[r.short], ResponseNonce: nonce,
			ResourceNamesSubscribe: r.subscribe, ResourceNamesUnsubscribe: r.unsubscribe, InitialResourceVersions: r.initial,
		}
		if r.reject != "" {
			req.ErrorDetail = status.New(codes.Internal, r.reject).Proto()
		}
		c.node = nil // as Envoy, which tells it once
		return unlessEnded(c.delta.Send(req))
	}
	if !r.answer || len(r.subscribe) > 0 {
		c.wanted[r.short] = slices.Clone(r.subscribe)
	}
	req := &discoveryv3.DiscoveryRequest{
		Node: c.node, TypeUrl: typeURL[r.short], ResponseNonce: nonce, ResourceNames: c.wanted[r.short], VersionInfo: r.version,
	}
	if r.reject != "" {
		req.ErrorDetail = status.New(codes.Internal, r.reject).Proto()
	}
	c.node = nil
	return unlessEnded(c.sotw.Send(req))
}

// inherit what a client had of a type before it reconnected.
func (c *client) inherit(short string, old *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old.has[short] != nil {
		c.has[short], c.versions[short] = maps.Clone(old.has[short]), maps.Clone(old.versions[short])
	}
}

// told returns what came since it was called last.
func (c *client) told() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.lines
	c.lines = nil
	return out
}

// state is all that the client has, as "TYPE name=word" lines.
func (c *client) state() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for short, resources := range c.has {
		for name, w := range resources {
			out = append(out, short+" "+name+"="+w)
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}
