// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/go-logr/logr"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"k8s.io/utils/clock"

	"github.com/isthmesh/isthmesh/controlplane/agent/bootstrap"
	"github.com/isthmesh/isthmesh/controlplane/agent/csr"
	"github.com/isthmesh/isthmesh/controlplane/agent/patches"
	"github.com/isthmesh/isthmesh/controlplane/agent/process"
)

const (
	// patchPatience is how long a start waits for the patches of the bootstrap.
	patchPatience = 5 * time.Second
	// stands is how long an Envoy with patches must run to be taken for one that
	// can start with them.
	stands = 10 * time.Second
)

// patcher puts what EnvoyFilters say of the bootstrap into it. Nothing that they
// say keeps the proxy from starting.
type patcher struct {
	settings Settings
	client   *patches.Client
}

func newPatcher(s Settings, node *corev3.Node, controlPlane spiffeid.ID, leaf func() *csr.Leaf) *patcher {
	return &patcher{settings: s, client: &patches.Client{
		Address: s.Discovery, ServerName: nameOr(s.DiscoveryName, s.Discovery), ServerID: controlPlane,
		Node: node, Leaf: leaf, Clock: clock.RealClock{}, Random: rand.Float64,
	}}
}

func (p *patcher) keptFile() string  { return filepath.Join(p.settings.Directory, "patches.json") }
func (p *patcher) trialFile() string { return filepath.Join(p.settings.Directory, "envoy-try.json") }

// startsFile is there while an Envoy with patches has not run for long.
func (p *patcher) startsFile() string { return filepath.Join(p.settings.Directory, "patches-start") }

// apply the patches that hold for this proxy, and start with. Those that are
// refused are returned. Without an answer of the control plane those of the last
// start are taken.
func (p *patcher) apply(ctx context.Context, b *bootstrapv3.Bootstrap) (*bootstrapv3.Bootstrap, []patches.Refusal) {
	log := logr.FromContextOrDiscard(ctx)
	list, err := p.list(ctx)
	if err != nil {
		log.Error(err, "Patches of the bootstrap are not kept, or not found")
	}
	if len(list) == 0 {
		return b, nil
	}
	if _, err := os.Stat(p.startsFile()); err == nil {
		log.Info("Envoy ended as soon as it was started with patches of the bootstrap: it starts without")
		_ = os.Remove(p.startsFile())
		return b, all(list, "Envoy ended as soon as it was started with this and the other patches, see the log of the container's last run")
	}
	good, refused := p.possible(ctx, b, list)
	if len(good) == 0 {
		return b, refused
	}
	if err := os.WriteFile(p.startsFile(), nil, 0o600); err != nil {
		log.Error(err, "The bootstrap is not patched")
		return b, refused
	}
	log.Info("The bootstrap is patched by EnvoyFilters", "patches", len(good))
	return bootstrap.Patched(b, good), refused
}

// list of the patches: the control plane's, or those kept from the last start.
func (p *patcher) list(ctx context.Context) ([]bootstrap.Patch, error) {
	asking, cancel := context.WithTimeout(ctx, patchPatience)
	defer cancel()
	list, err := p.client.Fetch(asking)
	if err == nil {
		return list, patches.Save(p.keptFile(), list)
	}
	logr.FromContextOrDiscard(ctx).Info("No word of the control plane about patches of the bootstrap: those of the last start hold, if there are any", "cause", err.Error())
	return patches.Load(p.keptFile())
}

// possible patches: all, if Envoy takes them together, else each that it takes
// with those before it.
func (p *patcher) possible(ctx context.Context, b *bootstrapv3.Bootstrap, list []bootstrap.Patch) ([]bootstrap.Patch, []patches.Refusal) {
	if p.try(ctx, b, list) == nil {
		return list, nil
	}
	var good []bootstrap.Patch
	var refused []patches.Refusal
	for i, one := range list {
		if i == maxTried {
			return good, append(refused, all(list[i:], "too many other patches are wrong")...)
		}
		with := append(good[:len(good):len(good)], one)
		if err := p.try(ctx, b, with); err != nil {
			logr.FromContextOrDiscard(ctx).Error(err, "A patch of the bootstrap is left out", "patch", one.Name)
			refused = append(refused, patches.Refusal{Patch: one, Reason: err.Error()})
			continue
		}
		good = with
	}
	return good, refused
}

// maxTried patches one by one: each try takes a part of a second of the start.
const maxTried = 10

// try whether Envoy would start.
func (p *patcher) try(ctx context.Context, b *bootstrapv3.Bootstrap, list []bootstrap.Patch) error {
	made := bootstrap.Patched(b, list)
	if err := made.ValidateAll(); err != nil {
		return fmt.Errorf("the bootstrap would be against the rules of Envoy's API: %w", err)
	}
	if err := bootstrap.Write(p.trialFile(), made); err != nil {
		return err
	}
	defer func() { _ = os.Remove(p.trialFile()) }()
	o := p.settings.process()
	o.Bootstrap = p.trialFile()
	return process.Validate(ctx, o)
}

// stood is called when an Envoy with patches has run for a while, or was ended in order.
func (p *patcher) stood() { _ = os.Remove(p.startsFile()) }

func all(list []bootstrap.Patch, reason string) []patches.Refusal {
	var out []patches.Refusal
	for _, one := range list {
		out = append(out, patches.Refusal{Patch: one, Reason: reason})
	}
	return out
}
