// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"maps"
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// The labels by which pods of gateways are known when a Gateway has no selector.
const (
	labelIstio       = "istio"
	labelGatewayName = "gateway.networking.k8s.io/gateway-name"
)

// Wanted are the Secrets and ConfigMaps that the gateways and policies of a mesh
// lean on: those are to be read, and no others. Names without a namespace mean
// the namespaces of the proxies that would show them. Sorted.
func Wanted(mesh *model.Mesh) []model.CredentialRef {
	w := wanted{mesh: mesh, of: map[model.CredentialRef]bool{}, namespaces: map[string][]string{}}
	for _, g := range mesh.Gateways {
		for i := range g.Listeners {
			w.listener(g, g.Listeners[i].TLS)
		}
		if g.ClientCertificate != nil {
			w.add(*g.ClientCertificate, w.pods(g))
		}
	}
	for _, p := range mesh.Policies {
		w.policy(p)
	}
	return slices.SortedFunc(maps.Keys(w.of), model.CredentialRef.Compare)
}

type wanted struct {
	mesh *model.Mesh
	of   map[model.CredentialRef]bool
	// namespaces of the pods that a selector finds.
	namespaces map[string][]string
}

func (w *wanted) add(r model.CredentialRef, namespaces []string) {
	if r.Name == "" {
		return
	}
	r = model.CredentialRef{Namespace: r.Namespace, Name: r.Name, ConfigMap: r.ConfigMap}
	if r.Namespace != "" {
		w.of[r] = true
		return
	}
	for _, n := range namespaces {
		r.Namespace = n
		w.of[r] = true
	}
}

// withCompanion adds a Secret, and the one that may hold its CA.
func (w *wanted) withCompanion(r model.CredentialRef, namespaces []string) {
	w.add(r, namespaces)
	if !r.ConfigMap {
		r.Name += model.CompanionCA
		w.add(r, namespaces)
	}
}

func (w *wanted) listener(g *model.Gateway, tls *model.ListenerTLS) {
	if tls == nil {
		return
	}
	at := w.pods(g)
	verifies := tls.Mode == model.MutualListenerTLS || tls.Mode == model.OptionalMutualTLS
	for _, r := range tls.Credentials {
		if verifies && tls.CA == nil && len(tls.CAs) == 0 {
			w.withCompanion(r, at)
		} else {
			w.add(r, at)
		}
	}
	if tls.CA != nil {
		w.add(*tls.CA, at)
	}
	for _, r := range tls.CAs {
		w.add(r, at)
	}
}

// policy adds what clients show and verify servers by: gateways, and sidecars
// that the policy selects.
func (w *wanted) policy(p *model.DestinationPolicy) {
	each := func(t *model.TrafficPolicy) {
		for _, q := range append([]model.PortPolicy{t.PortPolicy}, t.Ports...) {
			if q.TLS == nil || q.TLS.Credential == nil {
				continue
			}
			at := w.gateways()
			if p.Selector != "" {
				at = []string{p.Namespace}
			}
			w.withCompanion(*q.TLS.Credential, at)
		}
	}
	each(&p.Policy)
	for i := range p.Subsets {
		each(&p.Subsets[i].Policy)
	}
}

// gateways are the namespaces of all pods that some gateway selects.
func (w *wanted) gateways() []string {
	var all []string
	for _, g := range w.mesh.Gateways {
		all = append(all, w.pods(g)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// pods of a gateway, by their namespaces.
func (w *wanted) pods(g *model.Gateway) []string {
	key := g.SelectorNamespace + "/" + string(g.Selector)
	if known, ok := w.namespaces[key]; ok {
		return known
	}
	found := map[string]bool{}
	for _, p := range w.mesh.Workloads {
		if g.SelectorNamespace != "" && g.SelectorNamespace != p.Namespace || !g.Selector.Select(p.Labels) {
			continue
		}
		if g.Selector == "" && p.Labels[labelIstio] == "" && p.Labels[labelGatewayName] == "" {
			continue
		}
		found[p.Namespace] = true
	}
	w.namespaces[key] = slices.Sorted(maps.Keys(found))
	return w.namespaces[key]
}
