// SPDX-License-Identifier: Apache-2.0

package networking

import (
	"math/big"
	"strings"

	api "istio.io/api/networking/v1alpha3"

	"github.com/isthmesh/isthmesh/controlplane/ingest/traffic"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Sizes that Envoy takes for the structures of consistent hashing.
const (
	maxRing  = 8 << 20
	maxTable = 5_000_011
)

func (r *reader) balancer(field string, b *api.LoadBalancerSettings) *model.Balancer {
	if b == nil {
		return nil
	}
	out := &model.Balancer{}
	switch v := b.GetLbPolicy().(type) {
	case *api.LoadBalancerSettings_Simple:
		switch v.Simple {
		case api.LoadBalancerSettings_UNSPECIFIED:
		case api.LoadBalancerSettings_LEAST_REQUEST, api.LoadBalancerSettings_LEAST_CONN: //nolint:staticcheck // the API still takes it
			out.Kind = model.LeastRequest
		case api.LoadBalancerSettings_ROUND_ROBIN:
			out.Kind = model.RoundRobin
		case api.LoadBalancerSettings_RANDOM:
			out.Kind = model.Random
		case api.LoadBalancerSettings_PASSTHROUGH:
			out.Kind = model.Passthrough
		default:
			r.refuse(field+".simple", "%d is none that is known; use LEAST_REQUEST, ROUND_ROBIN, RANDOM or PASSTHROUGH", v.Simple)
		}
	case *api.LoadBalancerSettings_ConsistentHash:
		r.consistentHash(field+".consistentHash", v.ConsistentHash, out)
	}
	out.Warmup = r.warmup(field, b)
	out.Locality = r.locality(field, b)
	if out.Warmup != nil && out.Kind != model.LeastRequest && out.Kind != model.RoundRobin && out.Kind != model.DefaultBalancer {
		r.tell(field+".warmup", noEffect, "only LEAST_REQUEST and ROUND_ROBIN warm endpoints up; use one of them")
	}
	return out
}

func (r *reader) consistentHash(field string, h *api.LoadBalancerSettings_ConsistentHashLB, out *model.Balancer) {
	out.Kind = model.RingHash
	switch k := h.GetHashKey().(type) {
	case *api.LoadBalancerSettings_ConsistentHashLB_HttpHeaderName:
		r.headerName(field+".httpHeaderName", k.HttpHeaderName)
		out.Hash = &model.HashKey{Header: strings.ToLower(k.HttpHeaderName)}
	case *api.LoadBalancerSettings_ConsistentHashLB_HttpQueryParameterName:
		if k.HttpQueryParameterName == "" {
			r.refuse(field+".httpQueryParameterName", "it is empty; name a parameter")
		}
		out.Hash = &model.HashKey{Query: k.HttpQueryParameterName}
	case *api.LoadBalancerSettings_ConsistentHashLB_UseSourceIp:
		out.Hash = &model.HashKey{SourceIP: k.UseSourceIp}
		if !k.UseSourceIp {
			r.tell(field+".useSourceIp", noEffect, "false leaves nothing to hash, so calls go anywhere; use true, or another key")
		}
	case *api.LoadBalancerSettings_ConsistentHashLB_HttpCookie:
		out.Hash = &model.HashKey{Cookie: r.hashCookie(field+".httpCookie", k.HttpCookie)}
	default:
		r.tell(field, noEffect, "it has no key to hash, so calls go as without it; add httpHeaderName, httpCookie, useSourceIp or httpQueryParameterName")
	}
	switch a := h.GetHashAlgorithm().(type) {
	case *api.LoadBalancerSettings_ConsistentHashLB_RingHash_:
		out.MinimumRing = r.ring(field+".ringHash.minimumRingSize", a.RingHash.GetMinimumRingSize())
	case *api.LoadBalancerSettings_ConsistentHashLB_Maglev:
		out.Kind, out.Table = model.Maglev, a.Maglev.GetTableSize()
		if out.Table == 0 {
			r.reject(field+".maglev.tableSize", "it is missing; give a prime number, such as 65537")
		}
		if out.Table != 0 && (out.Table > maxTable || !new(big.Int).SetUint64(out.Table).ProbablyPrime(0)) {
			r.refuse(field+".maglev.tableSize", "%d is no prime number up to %d; use one, such as 65537", out.Table, maxTable)
			out.Table = 0
		}
	}
	if old := h.GetMinimumRingSize(); old != 0 { //nolint:staticcheck // the API still takes it
		if h.GetHashAlgorithm() != nil {
			r.tell(field+".minimumRingSize", noEffect, "ringHash or maglev is there and holds; move the size to ringHash.minimumRingSize")
		} else {
			out.MinimumRing = r.ring(field+".minimumRingSize", old)
		}
	}
	if out.Hash == nil {
		*out = model.Balancer{}
	}
}

func (r *reader) ring(field string, size uint64) uint64 {
	if size > maxRing {
		r.refuse(field, "%d is too large; at most %d is possible", size, maxRing)
		return 0
	}
	return size
}

func (r *reader) hashCookie(field string, c *api.LoadBalancerSettings_ConsistentHashLB_HTTPCookie) *model.HashCookie {
	out := &model.HashCookie{Name: c.GetName(), Path: c.GetPath(), TTL: r.orZero(field+".ttl", c.GetTtl())}
	if !isHeader(c.GetName()) {
		r.refuse(field+".name", "%.100q is no name of a cookie; use letters, digits and hyphens", c.GetName())
	}
	there := map[string]bool{}
	for i, a := range c.GetAttributes() {
		if there[a.GetName()] {
			r.reject(at(field+".attributes", i), "attribute %.100q is there twice; keep one", a.GetName())
		}
		there[a.GetName()] = true
		if !isHeader(a.GetName()) || !isHeaderValue(a.GetValue()) {
			r.refuse(at(field+".attributes", i), "%.100q is no attribute of a cookie; use such as SameSite with a value on one line", a.GetName())
			continue
		}
		out.Attributes = append(out.Attributes, model.Header{Name: a.GetName(), Value: a.GetValue()})
	}
	return out
}

func (r *reader) warmup(field string, b *api.LoadBalancerSettings) *model.Warmup {
	old := b.GetWarmupDurationSecs()
	w := b.GetWarmup()
	switch {
	case w != nil && old != nil:
		r.refuse(field, "warmup and warmupDurationSecs exclude each other; keep warmup")
		return nil
	case w != nil && w.GetDuration() == nil:
		r.refuse(field+".warmup.duration", "it is missing; say how long endpoints warm up")
		return nil
	case w != nil:
		d := r.duration(field+".warmup.duration", w.GetDuration())
		if d == nil {
			return nil
		}
		out := &model.Warmup{Duration: *d}
		if p := w.GetMinimumPercent(); p != nil {
			v := r.percent(field+".warmup.minimumPercent", p.GetValue())
			out.MinimumPercent = &v
		}
		if a := w.GetAggression(); a != nil {
			v := a.GetValue()
			if !(v > 0) {
				r.refuse(field+".warmup.aggression", "%v is not above 0; 1 is linear, use 1 or more", v)
			} else {
				out.Aggression = &v
			}
		}
		return out
	case old != nil:
		if d := r.duration(field+".warmupDurationSecs", old); d != nil {
			return &model.Warmup{Duration: *d}
		}
	}
	return nil
}

// locality settings; nil takes the mesh's.
func (r *reader) locality(field string, b *api.LoadBalancerSettings) *model.LocalityBalancing {
	l, zone := b.GetLocalityLbSetting(), b.GetZoneAwareLbSetting()
	if zone != nil {
		if l != nil {
			r.refuse(field, "localityLbSetting and zoneAwareLbSetting exclude each other; keep one")
			return nil
		}
		return traffic.ZoneAware(zone, r.below(field+".zoneAwareLbSetting"))
	}
	return traffic.Locality(l, r.below(field+".localityLbSetting"))
}
