// SPDX-License-Identifier: Apache-2.0

package networking

import (
	"cmp"
	"math/big"
	"slices"
	"strings"

	api "istio.io/api/networking/v1alpha3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Sizes that Envoy takes for the structures of consistent hashing.
const (
	maxRing  = 8 << 20
	maxTable = 5_000_011
	// maxRegions that fail over.
	maxRegions = 1000
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
			r.refuse(field+".useSourceIp", "false leaves nothing to hash; use true, or another key")
		}
	case *api.LoadBalancerSettings_ConsistentHashLB_HttpCookie:
		out.Hash = &model.HashKey{Cookie: r.hashCookie(field+".httpCookie", k.HttpCookie)}
	default:
		r.refuse(field, "it has no key to hash; add httpHeaderName, httpCookie, useSourceIp or httpQueryParameterName")
	}
	switch a := h.GetHashAlgorithm().(type) {
	case *api.LoadBalancerSettings_ConsistentHashLB_RingHash_:
		out.MinimumRing = r.ring(field+".ringHash.minimumRingSize", a.RingHash.GetMinimumRingSize())
	case *api.LoadBalancerSettings_ConsistentHashLB_Maglev:
		out.Kind, out.Table = model.Maglev, a.Maglev.GetTableSize()
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
	for i, a := range c.GetAttributes() {
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
		r.tell(field+".zoneAwareLbSetting", notSupported,
			"zones are not balanced by their sizes here, the mesh's locality settings hold; use localityLbSetting")
		return nil
	}
	if l == nil {
		return nil
	}
	field += ".localityLbSetting"
	out := &model.LocalityBalancing{Disabled: l.GetEnabled() != nil && !l.GetEnabled().GetValue()}
	kinds := 0
	for _, n := range []int{len(l.GetDistribute()), len(l.GetFailover()), len(l.GetFailoverPriority())} {
		if n > 0 {
			kinds++
		}
	}
	if len(l.GetDistribute()) > 0 && kinds > 1 {
		r.refuse(field, "distribute and failover exclude each other; keep one")
		return nil
	}
	for i, d := range l.GetDistribute() {
		if made, ok := r.distribute(at(field+".distribute", i), d); ok {
			out.Distribute = append(out.Distribute, made)
		}
	}
	if len(l.GetFailover()) > maxRegions {
		r.refuse(field+".failover", "there are %d entries; %d are the most", len(l.GetFailover()), maxRegions)
		return nil
	}
	for i, f := range l.GetFailover() {
		r.failover(at(field+".failover", i), f, out)
	}
	for i, key := range l.GetFailoverPriority() {
		name, value, _ := strings.Cut(key, "=")
		if !isLabelKey(name) || !isLabelValue(value) {
			r.refuse(at(field+".failoverPriority", i), "%.100q is neither a label's key nor key=value; write one of them", key)
			continue
		}
		out.FailoverPriority = append(out.FailoverPriority, key)
	}
	return out
}

func (r *reader) failover(field string, f *api.LocalityLoadBalancerSetting_Failover, out *model.LocalityBalancing) {
	for _, region := range []string{f.GetFrom(), f.GetTo()} {
		if region == "" || strings.ContainsAny(region, "/*") {
			r.refuse(field, "%.100q is no region; write from and to as regions, without zone or wildcard", region)
			return
		}
	}
	if f.GetFrom() == f.GetTo() {
		r.refuse(field, "from and to are both %q; name two regions", f.GetFrom())
		return
	}
	if slices.ContainsFunc(out.Failover, func(o model.Failover) bool { return o.From == f.GetFrom() }) {
		r.refuse(field+".from", "%q fails over to another region already; name each region once", f.GetFrom())
		return
	}
	out.Failover = append(out.Failover, model.Failover{From: f.GetFrom(), To: f.GetTo()})
}

func (r *reader) distribute(field string, d *api.LocalityLoadBalancerSetting_Distribute) (model.Distribute, bool) {
	out := model.Distribute{From: d.GetFrom()}
	ok := r.localityPattern(field+".from", d.GetFrom())
	if len(d.GetTo()) > 100 {
		r.refuse(field+".to", "there are %d localities, and per cent for 100 at most; name fewer", len(d.GetTo()))
		return out, false
	}
	total := uint64(0)
	for _, to := range sortedKeys(d.GetTo()) {
		weight := d.GetTo()[to]
		ok = r.localityPattern(field+".to", to) && ok
		if weight == 0 {
			r.refuse(field+".to["+to+"]", "a weight of 0 is none; leave the locality out, or give it more")
			ok = false
		}
		total += uint64(weight)
		out.To = append(out.To, model.LocalityWeight{Locality: to, Weight: weight})
	}
	slices.SortFunc(out.To, func(a, b model.LocalityWeight) int { return cmp.Compare(a.Locality, b.Locality) })
	if total != 100 {
		r.refuse(field+".to", "the weights add up to %d; they are per cent, make them add up to 100", total)
		ok = false
	}
	for i := range out.To {
		for j := range out.To {
			if i != j && localityCovers(out.To[i].Locality, out.To[j].Locality) {
				r.refuse(field+".to", "%q contains %q; name localities that don't overlap", out.To[i].Locality, out.To[j].Locality)
				return out, false
			}
		}
	}
	return out, ok
}

// localityPattern is region, zone and subzone, of which the last may be a wildcard.
func (r *reader) localityPattern(field, text string) bool {
	parts := strings.Split(text, "/")
	bad := text == "" || len(parts) > 3
	for i, part := range parts {
		if part == "" || strings.Contains(part, "*") && (part != "*" || i != len(parts)-1) {
			bad = true
		}
	}
	if bad {
		r.refuse(field, "%.100q is no locality; write region/zone/subzone, with * at the end for all", text)
	}
	return !bad
}

// localityCovers is true when every place of b is one of a.
func localityCovers(a, b string) bool {
	prefix, wild := strings.CutSuffix(a, "*")
	if wild {
		return strings.HasPrefix(b, prefix) || b+"/" == prefix
	}
	return a == b || strings.HasPrefix(b, a+"/")
}
