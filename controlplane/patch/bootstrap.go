// SPDX-License-Identifier: Apache-2.0

package patch

import (
	"fmt"
	"slices"
	"strings"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/proto"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

const bootstrapKind = "BOOTSTRAP"

// BootstrapNames are the clusters and listeners of the bootstrap that are the
// agent's, sorted: how the proxy gets its configuration, certificates and health.
var BootstrapNames = []string{"agent", "prometheus_stats", "sds-grpc", "xds-grpc"}

// Bootstraps are the patches of the bootstrap as resources, one each, whose names
// sort in the order in which they are to be merged: the agent does that, before
// its Envoy starts.
func (s *Set) Bootstraps() ([]*envoy.Resource, []model.Problem) {
	var out []*envoy.Resource
	var problems []model.Problem
	for _, p := range s.patches {
		if p.ApplyTo != bootstrapKind || p.value == nil || !s.here(p) {
			continue
		}
		r, err := envoy.NewResource(fmt.Sprintf("%05d/%s", len(out), bootstrapName(p.Patch)), p.value)
		if err != nil {
			problems = append(problems, p.problem(fmt.Sprintf("it can't be sent: %v; mend the value", err)))
			continue
		}
		out = append(out, r)
	}
	return out, problems
}

// here is true for a patch whose context the set's proxies have.
func (s *Set) here(p *Patch) bool { return p.in(s.outbound()) || !s.gateway && p.in(Inbound) }

func bootstrapName(p *model.Patch) string {
	return fmt.Sprintf("%s/%s/%s/%d", p.Operation, p.Namespace, p.Name, p.Index)
}

// IsBootstrap is true when a resource of Bootstraps is made of a patch.
func IsBootstrap(p *model.Patch, resource string) bool {
	_, name, _ := strings.Cut(resource, "/")
	return p.ApplyTo == bootstrapKind && name == bootstrapName(p)
}

// MergesBootstrap is how a resource of Bootstraps is merged: whether its lists
// take the place of lists.
func MergesBootstrap(resource string) (replace bool) {
	_, name, _ := strings.Cut(resource, "/")
	return strings.HasPrefix(name, replaceLists+"/")
}

// Merge what a message says into another one: single values replace, lists are
// appended, or take the place of lists.
func Merge(into, from proto.Message, replace bool) { merge(into, from, replace) }

// kept tells of patches that say what the agent puts back.
func (s *Set) kept() []model.Problem {
	var out []model.Problem
	for _, p := range s.patches {
		b, ok := p.value.(*bootstrapv3.Bootstrap)
		if !ok || !s.here(p) {
			continue
		}
		for _, field := range agentsOwn(b) {
			out = append(out, p.Problem(fmt.Sprintf("spec.configPatches[%d].patch.value.%s", p.Index, field), "NotSupported",
				"it is the agent's: the proxy's identity, configuration and health depend on it, so it stays as it is; remove it from the value"))
		}
	}
	return out
}

// agentsOwn are the fields of a patch that the agent doesn't give away.
func agentsOwn(b *bootstrapv3.Bootstrap) []string {
	var out []string
	add := func(is bool, field string) {
		if is {
			out = append(out, field)
		}
	}
	add(b.GetAdmin().GetAddress() != nil, "admin.address")
	add(b.GetDynamicResources() != nil, "dynamic_resources")
	add(b.GetNode() != nil, "node")
	for i, c := range b.GetStaticResources().GetClusters() {
		add(slices.Contains(BootstrapNames, c.GetName()), fmt.Sprintf("static_resources.clusters[%d]", i))
	}
	for i, l := range b.GetStaticResources().GetListeners() {
		add(slices.Contains(BootstrapNames, l.GetName()), fmt.Sprintf("static_resources.listeners[%d]", i))
	}
	return out
}
