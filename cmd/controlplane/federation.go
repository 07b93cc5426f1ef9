// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/go-logr/logr"

	"github.com/isthmesh/isthmesh/api/version"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/federation/member"
)

// federate keeps a stream to the hub, and begins anew when the hub's address,
// name or roots change in the enrolment Secret. Imports that were kept by the
// last run of a control plane are there before it returns for the first time.
func federate(ctx context.Context, m meshParts, loaded func()) error {
	log := logr.FromContextOrDiscard(ctx).WithName("federation")
	for {
		e, err := m.auth.enrolment(ctx)
		if err != nil {
			log.Error(err, "the hub is not known; what was imported last stays")
		}
		client := newClient(m, e, log)
		if err := client.Load(ctx); err != nil {
			log.Error(err, "the imports that were kept can't be used; they come anew from the hub")
		}
		m.pipeline.federate(client)
		loaded()
		if err := whileSame(ctx, m, e, client); ctx.Err() != nil {
			return err
		}
		log.Info("the hub's address or roots changed, so the stream begins anew")
	}
}

// whileSame runs a client for as long as the enrolment Secret says what it said.
func whileSame(ctx context.Context, m meshParts, e member.Enrolment, client *member.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		tick := time.NewTicker(15 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			now, err := m.auth.enrolment(ctx)
			if err == nil && !reflect.DeepEqual(now.Hub, e.Hub) {
				cancel()
			}
		}
	}()
	if err := client.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return ctx.Err()
}

func newClient(m meshParts, e member.Enrolment, log logr.Logger) *member.Client {
	return member.New(member.Options{
		Hub:         e.Hub,
		Member:      m.o.settings.Cluster,
		Network:     m.o.settings.Network,
		Version:     version.Version,
		Instance:    m.o.pod,
		Certificate: m.own.Current,
		Store:       member.NewConfigMapStore(m.kube.CoreV1().ConfigMaps(m.o.namespace)),
		OnImports:   func(i *model.Imports) { m.pipeline.onImports(i) },
		OnRefused:   m.pipeline.onRefused,
		Log:         log,
	})
}
