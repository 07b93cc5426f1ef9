// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/isthmesh/isthmesh/controlplane/hds"
	"github.com/isthmesh/isthmesh/controlplane/informers"
	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/gatewayapi"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/controlplane/xds"
	"github.com/isthmesh/isthmesh/federation/member"
)

// pipeline is the loop: objects and imports → mesh → snapshot → proxies, and
// mesh → exports → hub. An event only says that something changed; then all is
// built again, sharing what didn't.
type pipeline struct {
	settings model.Settings
	objects  *informers.Set
	xds      *xds.Server
	ready    *readiness

	client  atomic.Pointer[member.Client] // nil without a federation
	imports atomic.Pointer[model.Imports] // nil: never synced, which is not empty
	wake    chan struct{}
	// rejected is told when a proxy rejects what it was sent.
	rejected chan struct{}
	last     atomic.Pointer[built] // for /debug and statuses
	// references are what gateways' Secrets are read by; set before run.
	references *references
	apiServer  string            // its address, which key sets are not fetched from; set before run
	keys       *keySets          // fetched for RequestAuthentications
	modules    *modules          // fetched for WasmPlugins; set before run
	checks     *hds.Server       // of other members' gateways; set before run
	absent     *absent           // what only absent proxies would see
	tell       []chan<- struct{} // told when statuses may have something to write; set before run
}

// built is a mesh, what it was made of, and what was made of it.
type built struct {
	mesh     *model.Mesh
	objects  ingest.Input
	imports  *model.Imports
	statuses *gatewayapi.Statuses
	// ingresses that are served, whose statuses say where.
	ingresses []string
	shown     *snapshot.Snapshot
}

func newPipeline(settings model.Settings, objects *informers.Set, x *xds.Server, ready *readiness, rejected chan struct{}) *pipeline {
	p := &pipeline{settings: settings, objects: objects, xds: x, ready: ready, wake: make(chan struct{}, 1), rejected: rejected, absent: &absent{now: time.Now}}
	p.keys = newKeySets(p.again)
	return p
}

// federate gives the pipeline a stream to the hub, and that the last exports.
func (p *pipeline) federate(c *member.Client) {
	p.client.Store(c)
	if last := p.last.Load(); last != nil {
		c.SetExports(member.Export(last.mesh))
	}
}

// onRefused hears that the hub refuses other exports than before.
func (p *pipeline) onRefused([]member.Refusal) { p.news() }

// onImports takes what other members export, as the hub tells or as it was kept.
func (p *pipeline) onImports(i *model.Imports) {
	p.imports.Store(i)
	p.again()
}

// again builds once more.
func (p *pipeline) again() { nudge(p.wake) }

// nudge who listens; not again before he has looked, who then sees it all.
func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (p *pipeline) run(ctx context.Context) error {
	log := logr.FromContextOrDiscard(ctx).WithName("pipeline")
	p.ready.wait("informers", "reading the cluster")
	err := p.objects.WaitSynced(ctx)
	if err != nil {
		return err
	}
	p.ready.done("informers")
	var result *ingest.Result
	var shown *snapshot.Snapshot
	var aside *snapshot.Aside
	known := map[model.Problem]bool{}
	patience := time.After(credentialPatience)
	for {
		in := p.objects.Objects()
		in.Settings, in.Imports = p.settings, p.imports.Load()
		fetched := p.keys.Result()
		in.JWKS, in.JWKSFailures = fetched.Keys, fetched.Failures
		code := p.modules.Result()
		in.Modules, in.ModuleFailures = code.Modules, code.Failures
		in.Unreached = p.checks.Unreached()
		result = ingest.Build(in, result)
		p.references.want(result)
		p.keys.want(result, p.apiServer)
		p.modules.want(result, p.apiServer)
		if p.last.Load() == nil && (!p.references.settled() || !p.keys.settled(result) || !p.modules.settled(result)) {
			// A gateway that is up would lose its listeners for as long as its Secret
			// has not been read; nor may valid tokens be refused only because their
			// issuer has not been asked, or requests because their plugin's module has
			// not been fetched again.
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-p.objects.Changes():
				continue
			case <-p.wake:
				continue
			case <-patience:
			}
		}
		aside = aside.Next(result.Mesh)
		shown = snapshot.BuildWithout(result.Mesh, aside, shown)
		p.last.Store(&built{mesh: result.Mesh, objects: in, imports: in.Imports, statuses: result.Statuses(), ingresses: result.Ingresses(), shown: shown})
		p.xds.Push(shown)
		p.checks.Update(result.Mesh)
		if c := p.client.Load(); c != nil {
			c.SetUnreached(in.Unreached)
			c.SetExports(member.Export(result.Mesh))
		}
		known = logProblems(log, append(shown.Problems(), result.Mesh.Problems...), known)
		p.news()
		p.ready.done("first push")
		if aside, err = p.await(ctx, shown, aside); err != nil {
			return err
		}
	}
}

// soon is when it is looked at how proxies took what was set aside for them.
const soon = 40 * time.Millisecond

// await something to build again for: a change, or that a proxy refuses an object
// and is to be spared it. It returns what is set aside then.
func (p *pipeline) await(ctx context.Context, shown *snapshot.Snapshot, aside *snapshot.Aside) (*snapshot.Aside, error) {
	ticker := time.NewTicker(soon)
	defer ticker.Stop()
	for {
		var look <-chan time.Time
		told := false
		if len(aside.Searched()) > 0 {
			look = ticker.C
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		// Where much changes there is no time to wait in: proxies are looked at all the same.
		case <-p.objects.Changes():
			return p.refused(shown, aside), nil
		case <-p.wake:
			return p.refused(shown, aside), nil
		case <-p.rejected:
			told = true
		case <-look:
		}
		if next := p.refused(shown, aside); next != aside {
			return next, nil
		}
		if told {
			p.news() // others that are to blame are told on their objects
		}
	}
}

// refused is what is to be set aside by now. A proxy's answers are all there
// before it is asked what it refuses: else one that refuses just now would be
// taken for one that accepts.
func (p *pipeline) refused(shown *snapshot.Snapshot, aside *snapshot.Aside) *snapshot.Aside {
	type state struct{ done, connected bool }
	of := map[[2]string]state{}
	for _, pod := range aside.Searched() {
		done, connected := p.xds.Settled(pod[0], pod[1])
		of[pod] = state{done, connected}
	}
	return shown.Refused(p.xds.Rejections(), func(namespace, name string) (done, connected bool) {
		if s, ok := of[[2]string{namespace, name}]; ok {
			return s.done, s.connected
		}
		return p.xds.Settled(namespace, name)
	})
}

// machines are workloads of a service account that are no pods.
func (p *pipeline) machines(namespace, account string) []*model.Workload {
	last := p.last.Load()
	if last == nil {
		return nil
	}
	var out []*model.Workload
	for _, w := range last.mesh.Workloads {
		// Every pod whose proxy calls has a node.
		if w.Namespace == namespace && w.ServiceAccount == account && w.Node == "" {
			out = append(out, w)
		}
	}
	return out
}

// news tells those who write statuses that there may be something to write.
func (p *pipeline) news() {
	for _, c := range p.tell {
		nudge(c)
	}
}

// logProblems logs what is new, and returns what is known now.
func logProblems(log logr.Logger, problems []model.Problem, known map[model.Problem]bool) map[model.Problem]bool {
	now := make(map[model.Problem]bool, len(problems))
	for _, p := range problems {
		now[p] = true
		if !known[p] {
			log.Info("object can't be used as it is", "kind", p.Kind, "namespace", p.Namespace, "name", p.Name,
				"field", p.Field, "reason", p.Reason, "message", p.Message)
		}
	}
	return now
}

// proxyConfigs of the mesh, sorted by age; false until it is built.
func (p *pipeline) proxyConfigs() ([]*model.ProxyConfig, bool) {
	last := p.last.Load()
	if last == nil {
		return nil, false
	}
	return last.mesh.ProxyConfigs, true
}

// namespaceLabels are the labels of a namespace; nil when it isn't known.
func (p *pipeline) namespaceLabels(name string) map[string]string {
	for _, n := range p.objects.Objects().Namespaces {
		if n.Name == name {
			return n.Labels
		}
	}
	return nil
}
