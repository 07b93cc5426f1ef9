// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/isthmesh/isthmesh/controllers/problems"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// problemLease is one for all revisions in a namespace: each of them reads all
// objects, and two that see them differently would write in turns.
const problemLease = "isthmesh-problem-conditions"

// conditions writes Problems onto the objects of Istio's API that they are about,
// in the one replica that holds the lease.
type conditions struct {
	m       meshParts
	changed chan struct{}
}

// newConditions is told by the pipeline; make it before the pipeline runs.
func newConditions(m meshParts) *conditions {
	c := &conditions{m: m, changed: make(chan struct{}, 1)}
	m.pipeline.tell = append(m.pipeline.tell, c.changed)
	return c
}

func (c *conditions) run(ctx context.Context) error {
	return whileLeading(ctx, c.m, problemLease, func(ctx context.Context) error {
		client, err := dynamic.NewForConfig(rest.CopyConfig(c.m.cfg))
		if err != nil {
			return fmt.Errorf("make the client for conditions: %w", err)
		}
		return (&problems.Controller{Client: client, Facts: c.facts, Changed: c.changed}).Run(ctx)
	})
}

func (c *conditions) facts() problems.Facts {
	last := c.m.pipeline.last.Load()
	if last == nil {
		return problems.Facts{}
	}
	return problems.Facts{
		Conditions: problems.Conditions(c.m.pipeline.problems(last), problems.InGatewayAPI(last.objects)),
		Find:       problems.In(last.objects),
	}
}

// problems of a mesh, of its translation as far as proxies have asked for it, and
// of the proxies that refuse a part of that now.
func (p *pipeline) problems(of *built) []model.Problem {
	return slices.Concat(of.mesh.Problems, of.shown.Problems(), of.shown.Blame(p.xds.Rejections()))
}
