// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/jwks"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// keySets has the key sets fetched that RequestAuthentications name by address,
// from anywhere but the API server, this process and what package jwks never
// connects to.
type keySets struct {
	*jwks.Fetcher
	forbidden atomic.Pointer[[]netip.Prefix]
}

func newKeySets(changed func()) *keySets {
	k := &keySets{}
	k.Fetcher = jwks.New(jwks.Options{Permit: k.permit}, changed)
	return k
}

func (k *keySets) permit(a netip.Addr) error {
	var forbidden []netip.Prefix
	if all := k.forbidden.Load(); all != nil {
		forbidden = *all
	}
	return jwks.Guard(forbidden...)(a)
}

// want what a mesh wants.
func (k *keySets) want(result *ingest.Result, apiServer string) {
	forbidden := append(own(), servers(result.Mesh)...)
	if a, err := netip.ParseAddr(apiServer); err == nil {
		forbidden = append(forbidden, one(a))
	}
	k.forbidden.Store(&forbidden)
	k.Want(result.WantedKeySets())
}

// settled is true when all that is wanted has been tried once.
func (k *keySets) settled(result *ingest.Result) bool { return k.Settled(result.WantedKeySets()) }

func (k *keySets) run(ctx context.Context) error { return k.Run(ctx) }

// own addresses of this process.
func own() []netip.Prefix {
	var out []netip.Prefix
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, one(p.Addr()))
		}
	}
	return out
}

// servers are the addresses of the API server: of its Service, and behind it.
func servers(mesh *model.Mesh) []netip.Prefix {
	var out []netip.Prefix
	st, ok := mesh.Service(model.Hostname("kubernetes.default.svc." + mesh.Settings.DomainSuffix))
	if !ok {
		return nil
	}
	for _, a := range st.Service.Addresses {
		out = append(out, one(a))
	}
	for _, set := range st.Endpoints {
		for i := range set.Endpoints {
			if a, err := netip.ParseAddr(set.Endpoints[i].Address); err == nil {
				out = append(out, one(a))
			}
		}
	}
	return out
}

func one(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()) }
