// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/api/version"
	"github.com/isthmesh/isthmesh/controllers/meshfederation"
	"github.com/isthmesh/isthmesh/controllers/meshmember"
	"github.com/isthmesh/isthmesh/controllers/remote"
	"github.com/isthmesh/isthmesh/federation/hub"
)

// federationHub puts controllers and the server for members together.
type federationHub struct {
	options options
	manager manager.Manager
	log     logr.Logger
	// outside of a cluster the hub shares its host's loopback.
	outside bool
	now     func() time.Time
	rand    io.Reader
}

func (h *federationHub) setUp(ctx context.Context) error {
	mgr, o := h.manager, h.options
	var system corev1.Namespace
	if err := mgr.GetAPIReader().Get(ctx, client.ObjectKey{Name: "kube-system"}, &system); err != nil {
		return fmt.Errorf("read the hub's cluster's identity: %w", err)
	}
	recorder := mgr.GetEventRecorder("isthmesh-hub")
	roots := &meshfederation.Roots{Client: mgr.GetClient(), Now: h.now, Rand: h.rand}
	server := hub.New(hub.Options{
		Log: h.log.WithName("federation"),
		Now: h.now,
		Enroller: &meshmember.Enroller{
			Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Roots: roots, Recorder: recorder, Now: h.now, Rand: h.rand,
		},
	})
	roster := meshfederation.NewRoster(mgr.GetClient(), roots, server, h.now, h.rand)
	members, federations := make(chan event.GenericEvent), make(chan event.GenericEvent)
	reconcilers := []interface{ SetupWithManager(manager.Manager) error }{
		roster,
		&meshfederation.Reconciler{
			Client: mgr.GetClient(), Roots: roots, Streams: server, Recorder: recorder, Now: h.now, StreamChanged: federations,
			Service: &meshfederation.Service{
				Client: mgr.GetClient(), Given: o.federationAddress, Key: client.ObjectKey{Namespace: o.namespace, Name: serviceName},
			},
		},
		&meshmember.Reconciler{
			Client: mgr.GetClient(), Roots: roots, Streams: server, Recorder: recorder, Now: h.now, StreamChanged: members, Rand: h.rand,
			Clusters: &remote.Clusters{AllowLoopback: h.outside, UserAgent: "isthmesh-hub/" + version.Version},
			HubID:    string(system.UID),
			Images:   meshmember.Images{Hub: o.imageHub, Tag: o.imageTag},
		},
	}
	for _, r := range reconcilers {
		if err := r.SetupWithManager(mgr); err != nil {
			return err
		}
	}
	if err := h.setUpWebhook(); err != nil {
		return err
	}
	if err := mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		relay(ctx, server.Changed(), members, federations)
		return nil
	})); err != nil {
		return err
	}
	return mgr.Add(&listener{server: server, ready: roster.Ready(), address: o.federationBind, log: h.log.WithName("federation")})
}

// relay turns changes of streams into events of their objects.
func relay(ctx context.Context, changed <-chan hub.Ref, members, federations chan<- event.GenericEvent) {
	for {
		select {
		case <-ctx.Done():
			return
		case ref := <-changed:
			namespace, name, _ := strings.Cut(ref.Federation, "/")
			to, e := federations, event.GenericEvent{Object: &v1alpha1.MeshFederation{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}}
			if ref.Member != "" {
				to, e = members, event.GenericEvent{Object: &v1alpha1.MeshMember{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: ref.Member}}}
			}
			select {
			case <-ctx.Done():
				return
			case to <- e:
			}
		}
	}
}

// listener serves members, on the leader only, once the server knows who they are.
type listener struct {
	server  *hub.Server
	ready   <-chan struct{}
	address string
	log     logr.Logger
}

// NeedLeaderElection is true: members stream to one hub.
func (*listener) NeedLeaderElection() bool { return true }

// Start serves until ctx ends.
func (l *listener) Start(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-l.ready:
	}
	var config net.ListenConfig
	socket, err := config.Listen(ctx, "tcp", l.address)
	if err != nil {
		return fmt.Errorf("listen for members: %w", err)
	}
	g := l.server.GRPC()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		l.server.Close()
		g.GracefulStop()
	}()
	l.log.Info("serving members", "address", socket.Addr().String())
	err = g.Serve(socket)
	if ctx.Err() != nil {
		<-stopped
	}
	if err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve members: %w", err)
	}
	return nil
}
