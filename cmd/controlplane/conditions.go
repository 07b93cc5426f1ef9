// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/isthmesh/isthmesh/controllers/problems"
	"github.com/isthmesh/isthmesh/controllers/ratelimits"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// problemLease is one for all revisions in a namespace: each of them reads all
// objects, and two that see them differently would write in turns.
const problemLease = "isthmesh-problem-conditions"

// conditions writes Problems onto the objects of Istio's API that they are about,
// in the one replica that holds the lease. What proxies of other replicas reject
// those tell it.
type conditions struct {
	m       meshParts
	changed chan struct{}
	// limits is told too: statuses of rate limits are written beside conditions.
	limits chan struct{}
}

// newConditions is told by the pipeline; make it before the pipeline runs.
func newConditions(m meshParts) *conditions {
	c := &conditions{m: m, changed: make(chan struct{}, 1), limits: make(chan struct{}, 1)}
	m.pipeline.tell = append(m.pipeline.tell, c.changed, c.limits)
	return c
}

func (c *conditions) run(ctx context.Context) error {
	return whileLeading(ctx, c.m, problemLease, func(ctx context.Context) error {
		client, err := dynamic.NewForConfig(rest.CopyConfig(c.m.cfg))
		if err != nil {
			return fmt.Errorf("make the client for conditions: %w", err)
		}
		ctx, cancel := context.WithCancel(ctx)
		var reading sync.WaitGroup
		defer reading.Wait()
		defer cancel()
		others := &problems.Others{
			Client: c.m.kube, Namespace: c.m.o.namespace, Replica: c.m.o.identity(), News: func() { nudge(c.changed) },
		}
		var failed error
		reading.Go(func() {
			defer cancel()
			failed = others.Run(ctx)
		})
		reading.Go(func() {
			defer cancel()
			_ = (&ratelimits.Controller{Client: client, Statuses: func() []ratelimits.Status { return c.limitStatuses(others) }, Changed: c.limits}).Run(ctx)
		})
		facts := func() problems.Facts { return c.facts(others) }
		err = (&problems.Controller{Client: client, Facts: facts, Changed: c.changed}).Run(ctx)
		cancel()
		reading.Wait()
		return errors.Join(err, failed)
	})
}

// report to the leader what proxies of this replica reject, whether it leads or not.
func (c *conditions) report(ctx context.Context) error {
	return (&problems.Reporter{Client: c.m.kube, Namespace: c.m.o.namespace, Replica: c.m.o.identity(), Rejected: func() ([]problems.Said, bool) {
		last := c.m.pipeline.last.Load()
		if last == nil {
			return nil, false
		}
		return problems.Rejected(last.shown.Blame(c.m.xds.Rejections()), problems.In(last.objects)), true
	}}).Run(ctx)
}

func (c *conditions) facts(others *problems.Others) problems.Facts {
	last := c.m.pipeline.last.Load()
	if last == nil {
		return problems.Facts{}
	}
	find := problems.In(last.objects)
	found := problems.With(c.m.pipeline.problems(last), others.Said(), find)
	return problems.Facts{Conditions: problems.Conditions(found, problems.InGatewayAPI(last.objects)), Find: find}
}

// limitStatuses are what RateLimitPolicies are to be told; nil as long as there is no mesh.
func (c *conditions) limitStatuses(others *problems.Others) []ratelimits.Status {
	last := c.m.pipeline.last.Load()
	if last == nil || len(last.objects.RateLimitPolicies) == 0 {
		return nil
	}
	found := problems.With(c.m.pipeline.problems(last), others.Said(), problems.In(last.objects))
	return ratelimits.Statuses(last.objects.RateLimitPolicies, last.mesh, found)
}

// problems of a mesh, of its translation, and of the proxies that refuse a part
// of that now.
func (p *pipeline) problems(of *built) []model.Problem {
	return slices.Concat(of.mesh.Problems, p.absent.problems(of.shown), of.shown.Blame(p.xds.Rejections()))
}
