// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/federation/wire"
)

// errHubClosed is the end of a stream that the hub ended without an error.
var errHubClosed = errors.New("the hub closed the stream")

// session is one stream, from dialling to its end. Receiving and sending run
// side by side and never wait for each other.
func (c *Client) session(ctx context.Context) error {
	conn, verdict, err := c.options.Hub.dial(c.options.Certificate)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := federationv1.NewFederationClient(conn).Sync(ctx, grpc.MaxCallRecvMsgSize(wire.MaxMessageBytes))
	if err != nil {
		return c.options.Hub.explain(err, verdict)
	}
	c.mu.Lock()
	hellos := c.imports.hellos(c.options.Version, c.options.Instance)
	c.mu.Unlock()
	for _, h := range hellos {
		err := stream.Send(&federationv1.MemberMessage{Message: &federationv1.MemberMessage_Hello{Hello: h}})
		if errors.Is(err, io.EOF) {
			break // Recv says why
		} else if err != nil {
			return c.options.Hub.explain(err, verdict)
		}
	}
	failed := make(chan error, 3)
	running := make(chan struct{}, 2)
	go func() { failed <- c.receive(stream); running <- struct{}{} }()
	go func() { failed <- c.sendLoop(ctx, stream); running <- struct{}{} }()
	// A hub that takes exports and never answers is given up.
	stalled := c.options.Clock.NewTicker(c.options.AnswerTimeout)
	defer stalled.Stop()
	var answered uint64
	for err == nil {
		select {
		case err = <-failed:
		case <-ctx.Done():
			err = ctx.Err()
		case <-stalled.C():
			c.mu.Lock()
			if x := &c.exports; x.sent > x.acked && x.acked == answered && x.welcomed {
				err = fmt.Errorf("the hub did not acknowledge exports for %s", c.options.AnswerTimeout)
			}
			answered = c.exports.acked
			c.mu.Unlock()
		}
	}
	// Both loops end with the stream, so that nothing of it meets the next one.
	cancel()
	<-running
	<-running
	return c.options.Hub.explain(err, verdict)
}

// receive takes in what comes until the stream ends. It never sends and never
// waits for anything but the lock.
func (c *Client) receive(stream federationv1.Federation_SyncClient) error {
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return errHubClosed
		}
		if err != nil {
			return err
		}
		if err := c.take(m); err != nil {
			return err
		}
	}
}

func (c *Client) take(m *federationv1.HubMessage) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch m := m.GetMessage().(type) {
	case *federationv1.HubMessage_Welcome:
		c.exports.welcome(m.Welcome.GetHeld())
		c.unreached.welcome(m.Welcome.GetTakesUnreached())
		c.state.Connected, c.state.LastError = c.options.Clock.Now(), ""
		c.options.Log.Info("Connected to the hub", "hub", c.options.Hub.Address, "member", m.Welcome.GetMember(), "holds", len(m.Welcome.GetHeld()))
		c.send.up()
	case *federationv1.HubMessage_Imports:
		c.imports.apply(m.Imports)
		c.importAck = m.Imports.GetNonce()
		c.complete = c.complete || m.Imports.GetComplete()
		c.synced = true
		c.send.up()
		c.publish.up()
		if len(m.Imports.GetMembers())+len(m.Imports.GetRemovedMembers())+len(m.Imports.GetServices()) > 0 {
			c.save.up()
		}
	case *federationv1.HubMessage_ExportAck:
		if !c.exports.acknowledge(m.ExportAck.GetNonce()) {
			return errors.New("the hub acknowledged what was never sent")
		}
		c.send.up()
	case *federationv1.HubMessage_Refusals:
		c.exports.refused = nil
		for _, r := range m.Refusals.GetRefused() {
			k := wire.KeyOf(r.GetKey())
			c.exports.refused = append(c.exports.refused, Refusal{Namespace: k.Namespace, Name: k.Name, Reason: r.GetReason(), Message: r.GetMessage()})
		}
		c.publish.up()
	}
	return nil
}

// sendLoop sends what is due, one message after the other: acknowledgements first.
func (c *Client) sendLoop(ctx context.Context, stream federationv1.Federation_SyncClient) error {
	for {
		select {
		case <-c.send:
		case <-ctx.Done():
			return ctx.Err()
		}
		for m := c.next(); m != nil; m = c.next() {
			if err := stream.Send(m); err != nil {
				if errors.Is(err, io.EOF) {
					return nil // Recv says why
				}
				return err
			}
		}
	}
}

func (c *Client) next() *federationv1.MemberMessage {
	c.mu.Lock()
	defer c.mu.Unlock()
	if nonce := c.importAck; nonce > 0 {
		c.importAck = 0
		return &federationv1.MemberMessage{Message: &federationv1.MemberMessage_ImportAck{ImportAck: c.imports.acknowledgement(nonce)}}
	}
	if u := c.exports.next(); u != nil {
		return &federationv1.MemberMessage{Message: &federationv1.MemberMessage_Exports{Exports: u}}
	}
	if u := c.unreached.next(); u != nil {
		return &federationv1.MemberMessage{Message: &federationv1.MemberMessage_Unreached{Unreached: u}}
	}
	return nil
}
