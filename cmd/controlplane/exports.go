// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	mcs "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"

	"github.com/isthmesh/isthmesh/controllers/serviceexport"
	"github.com/isthmesh/isthmesh/controllers/serviceimport"
)

// exportStatus keeps the status of ServiceExports, and shows imports as ServiceImports.
type exportStatus struct {
	pipeline         *pipeline
	client           mcs.Interface
	exports, imports chan struct{}
}

// newExportStatus is told by the pipeline; make it before the pipeline runs.
func newExportStatus(m meshParts) (*exportStatus, error) {
	client, err := mcs.NewForConfig(m.cfg)
	if err != nil {
		return nil, fmt.Errorf("make the client for the multi-cluster services kinds: %w", err)
	}
	s := &exportStatus{pipeline: m.pipeline, client: client, exports: make(chan struct{}, 1), imports: make(chan struct{}, 1)}
	m.pipeline.tell = append(m.pipeline.tell, s.exports, s.imports)
	return s, nil
}

func (s *exportStatus) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return (&serviceexport.Controller{Client: s.client, Facts: s.exportFacts, Changed: s.exports}).Run(ctx)
	})
	group.Go(func() error {
		return (&serviceimport.Controller{Client: s.client, Facts: s.importFacts, Changed: s.imports}).Run(ctx)
	})
	return group.Wait()
}

func (s *exportStatus) exportFacts() serviceexport.Facts {
	facts := serviceexport.Facts{Exports: s.pipeline.objects.Objects().ServiceExports}
	if last := s.pipeline.last.Load(); last != nil {
		facts.Mesh = last.mesh
	}
	if client := s.pipeline.client.Load(); client != nil {
		state := client.State()
		facts.Stream = &state
	}
	return facts
}

func (s *exportStatus) importFacts() serviceimport.Facts {
	facts := serviceimport.Facts{Namespaces: s.pipeline.objects.Objects().Namespaces}
	if last := s.pipeline.last.Load(); last != nil {
		facts.Mesh, facts.Imports = last.mesh, last.imports
	}
	return facts
}
