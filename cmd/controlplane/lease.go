// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// The lease; those who lost it try again.
const (
	leaseDuration = 15 * time.Second
	leaseRenewal  = 10 * time.Second
	leaseRetry    = 2 * time.Second
)

// whileLeading runs something in the one replica that holds a lease of the
// control plane's namespace, until ctx ends. When it ends before, or the lease is
// lost, the lease is free for whoever comes first. It never runs twice at a time.
func whileLeading(ctx context.Context, m meshParts, lease string, lead func(context.Context) error) error {
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: m.o.namespace, Name: lease},
		Client:     m.kube.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: m.o.identity()},
	}
	log := logr.FromContextOrDiscard(ctx).WithName(lease)
	var one sync.Mutex
	for ctx.Err() == nil {
		term, end := context.WithCancel(ctx)
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: lock, LeaseDuration: leaseDuration, RenewDeadline: leaseRenewal, RetryPeriod: leaseRetry, ReleaseOnCancel: true, Name: lease,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) {
					defer end()
					one.Lock()
					defer one.Unlock()
					if err := lead(ctx); err != nil && ctx.Err() == nil {
						log.Error(err, "what only the leader does ends, it starts again")
					}
				},
				OnStoppedLeading: func() {},
			},
		})
		if err != nil {
			end()
			return fmt.Errorf("lease %s: %w", lease, err)
		}
		elector.Run(term)
		end()
		select {
		case <-ctx.Done():
		case <-time.After(leaseRetry):
		}
	}
	return ctx.Err()
}

// identity of this replica in leases.
func (o *options) identity() string {
	if o.pod != "" {
		return o.pod
	}
	return "istiod"
}
