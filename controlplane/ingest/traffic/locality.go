// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Locality reads a locality load balancing setting; nil for nil. A setting that
// contradicts itself is taken without the part that does.
func Locality(given *networking.LocalityLoadBalancerSetting, report Report) *model.LocalityBalancing {
	if given == nil {
		return nil
	}
	out := &model.LocalityBalancing{Disabled: given.GetEnabled() != nil && !given.GetEnabled().GetValue()}
	if out.Disabled && len(given.GetDistribute())+len(given.GetFailover())+len(given.GetFailoverPriority()) > 0 {
		report("enabled", noEffect, "false turns it off, so distribute, failover and failoverPriority change nothing; remove them, or enabled")
	}
	if len(given.GetDistribute()) > 0 {
		if len(given.GetFailover())+len(given.GetFailoverPriority()) > 0 {
			report("", invalid, "distribute excludes failover and failoverPriority; distribute holds, remove the others")
		}
		out.Distribute = distribute(given.GetDistribute(), report)
		return out
	}
	out.Failover = failover(given.GetFailover(), report)
	out.FailoverPriority = priority(given.GetFailoverPriority(), report)
	return out
}

// ZoneAware reads a zone aware load balancing setting; nil for nil.
func ZoneAware(given *networking.ZoneAwareLoadBalancerSetting, report Report) *model.LocalityBalancing {
	if given == nil {
		return nil
	}
	out := &model.LocalityBalancing{
		Disabled: given.GetEnabled() != nil && !given.GetEnabled().GetValue(),
		Zones:    &model.ZoneBalancing{},
	}
	if !out.Disabled {
		report("", notSupported, "regions are ordered by it, but the zones of a region are called alike, as in Istio without self-discovery: "+
			"proxies don't know how many callers each zone has; use localityLbSetting.distribute for shares of zones")
	}
	if n := given.GetMinClusterSize(); n != nil {
		out.Zones.MinimumHosts = new(n.GetValue())
	}
	regions := make([]*networking.LocalityLoadBalancerSetting_Failover, len(given.GetFailover()))
	for i, f := range given.GetFailover() {
		regions[i] = &networking.LocalityLoadBalancerSetting_Failover{From: f.GetFrom(), To: f.GetTo()}
	}
	out.Failover = failover(regions, report)
	for i, l := range given.GetFailoverPriority() {
		if isTopology(l) {
			report(fmt.Sprintf("failoverPriority[%d]", i), invalid, "regions and zones are told apart anyway, and %q is left out; use failover for regions", l)
		}
	}
	out.FailoverPriority = slices.DeleteFunc(priority(given.GetFailoverPriority(), report), isTopology)
	return out
}

// isTopology is true for labels, "key" or "key=value", of regions and parts of them.
func isTopology(label string) bool {
	key, _, _ := strings.Cut(label, "=")
	return key == "topology.kubernetes.io/region" || key == "topology.kubernetes.io/zone" || key == "topology.istio.io/subzone"
}

// Bounds of what is read: per cent are for 100 localities at most.
const (
	maxShares  = 100
	maxRegions = 1000
)

func distribute(given []*networking.LocalityLoadBalancerSetting_Distribute, report Report) []model.Distribute {
	var all []model.Distribute
	for i, d := range given {
		field := fmt.Sprintf("distribute[%d]", i)
		if why := wrongPattern(d.GetFrom()); why != "" {
			report(field+".from", invalid, "%.100q is left out: %s", d.GetFrom(), why)
			continue
		}
		if j := slices.IndexFunc(all, func(o model.Distribute) bool { return covers(o.From, d.GetFrom()) || covers(d.GetFrom(), o.From) }); j >= 0 {
			report(field+".from", invalid, "%.100q overlaps with %.100q, which comes first and holds; make them different", d.GetFrom(), all[j].From)
			continue
		}
		if len(d.GetTo()) > maxShares {
			report(field+".to", invalid, "there are %d localities, and per cent for %d at most; name fewer", len(d.GetTo()), maxShares)
			continue
		}
		out, sum := model.Distribute{From: d.GetFrom()}, uint64(0)
		wrong := ""
		for _, to := range slices.Sorted(maps.Keys(d.GetTo())) {
			weight := d.GetTo()[to]
			sum += uint64(weight)
			if why := wrongPattern(to); why != "" {
				wrong = fmt.Sprintf("%.100q is no locality: %s", to, why)
			}
			for _, o := range out.To {
				if covers(o.Locality, to) || covers(to, o.Locality) {
					wrong = fmt.Sprintf("%.100q and %.100q overlap", o.Locality, to)
				}
			}
			if weight == 0 {
				wrong = fmt.Sprintf("%.100q has no weight", to)
			}
			out.To = append(out.To, model.LocalityWeight{Locality: to, Weight: weight})
		}
		if wrong == "" && sum != 100 {
			wrong = fmt.Sprintf("the weights add up to %d", sum)
		}
		if wrong != "" {
			report(field+".to", invalid, "%s; give localities that don't overlap weights above 0 that add up to 100", wrong)
			continue
		}
		all = append(all, out)
	}
	return all
}

// wrongPattern says why region/zone/subzone is none; "*" may be its last part.
func wrongPattern(pattern string) string {
	parts := strings.Split(pattern, "/")
	for i, p := range parts {
		switch {
		case i > 2:
			return "a locality has three parts at most"
		case p == "":
			return "a part is empty"
		case strings.Contains(p, "*") && (p != "*" || i < len(parts)-1):
			return "* may only be the last part"
		}
	}
	return ""
}

// covers is true when a locality of pattern b is one of pattern a too.
func covers(a, b string) bool {
	x, y := strings.Split(a, "/"), strings.Split(b, "/")
	for i := range x {
		switch {
		case x[i] == "*":
			return true
		case i >= len(y) || x[i] != y[i]:
			return false
		}
	}
	return true
}

func failover(given []*networking.LocalityLoadBalancerSetting_Failover, report Report) []model.Failover {
	if len(given) > maxRegions {
		report("failover", invalid, "there are %d entries, and none is used; %d are the most", len(given), maxRegions)
		return nil
	}
	var all []model.Failover
	for i, f := range given {
		field := fmt.Sprintf("failover[%d]", i)
		switch {
		case f.GetFrom() != f.GetTo() && (f.GetFrom() == "" || f.GetTo() == ""):
			report(field, noEffect, "from %.100q to %.100q is left out, since a region is missing; name both", f.GetFrom(), f.GetTo())
		case strings.ContainsAny(f.GetFrom()+f.GetTo(), "/*"):
			report(field, invalid, "from %.100q to %.100q is left out: both are names of regions, without zone and wildcard", f.GetFrom(), f.GetTo())
		case f.GetFrom() == f.GetTo():
			report(field, invalid, "%.100q can't stand in for itself; name another region", f.GetFrom())
		case slices.ContainsFunc(all, func(o model.Failover) bool { return o.From == f.GetFrom() }):
			report(field+".from", noEffect, "%.100q is there before and holds; remove one of them", f.GetFrom())
		default:
			all = append(all, model.Failover{From: f.GetFrom(), To: f.GetTo()})
		}
	}
	return all
}

func priority(given []string, report Report) []string {
	var all []string
	for i, label := range given {
		name, value, _ := strings.Cut(label, "=")
		switch {
		case len(validation.IsQualifiedName(name))+len(validation.IsValidLabelValue(value)) > 0:
			report(fmt.Sprintf("failoverPriority[%d]", i), noEffect, "%.100q is no label and is left out; write key, or key=value", label)
		case slices.ContainsFunc(all, func(o string) bool { o, _, _ = strings.Cut(o, "="); return o == name }):
			report(fmt.Sprintf("failoverPriority[%d]", i), noEffect, "label %q is there before and holds; remove one of them", name)
		default:
			all = append(all, label)
		}
	}
	return all
}
