// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"cmp"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/destination"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// The distance of an endpoint from its caller, nearest first. Envoy goes on to
// the next distance when nothing healthy is left at the nearer ones.
const (
	// Endpoints of the caller's own member; told apart only for PreferClose.
	ownZone = iota
	ownRegion
	own
	// Endpoints of other members; zones are told apart only for PreferClose.
	otherZone
	otherRegion
	other
	// Terminating endpoints serve when nothing else is left anywhere.
	terminating
)

// LocalityMatters is true when the order of a port's endpoints depends on where
// the caller is, or on its labels. Otherwise one resource serves callers everywhere.
func (c Call) LocalityMatters(port int, set *model.EndpointSet) bool {
	if LocalityMatters(c.Settings, c.Service, set) {
		return true
	}
	return len(set.Endpoints) > 1 && slices.ContainsFunc(c.targets(port), func(t destination.Target) bool { return destination.Localities(t) != nil })
}

// LocalityMatters is true when without a policy the order of a port's endpoints
// depends on where the caller is.
func LocalityMatters(s *model.Settings, svc *model.Service, set *model.EndpointSet) bool {
	for i := range set.Endpoints {
		e := &set.Endpoints[i]
		if !e.Draining && e.Locality.Region != "" && (svc.PreferClose || e.Cluster != s.Cluster) {
			return true
		}
	}
	return false
}

func distance(s *model.Settings, svc *model.Service, e *model.Endpoint, from model.Locality) int {
	sameRegion := from.Region != "" && from.Region == e.Locality.Region
	sameZone := sameRegion && from.Zone != "" && from.Zone == e.Locality.Zone
	switch {
	case e.Draining:
		return terminating
	case e.Cluster == s.Cluster && !svc.PreferClose:
		return own
	case e.Cluster == s.Cluster && sameZone:
		return ownZone
	case e.Cluster == s.Cluster && sameRegion:
		return ownRegion
	case e.Cluster == s.Cluster:
		return own
	case svc.PreferClose && sameZone:
		return otherZone
	case sameRegion:
		return otherRegion
	default:
		return other
	}
}

// priorities numbers the distances that occur from 0, as Envoy wants them.
func priorities(s *model.Settings, svc *model.Service, set *model.EndpointSet, from model.Locality) []uint32 {
	var occurs [terminating + 1]bool
	out := make([]uint32, len(set.Endpoints))
	for i := range set.Endpoints {
		d := distance(s, svc, &set.Endpoints[i], from)
		occurs[d] = true
		out[i] = uint32(d)
	}
	var number [terminating + 1]uint32
	next := uint32(0)
	for d, o := range occurs {
		if o {
			number[d] = next
			next++
		}
	}
	for i, d := range out {
		out[i] = number[d]
	}
	return out
}

func compareLocality(a, b model.Locality) int {
	return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.SubZone, b.SubZone))
}

// Hostnames of the pods behind a headless port, sorted, each once. What is not
// a single label would name something else than a pod of the service.
func Hostnames(set *model.EndpointSet) []string {
	var out []string
	for i := range set.Endpoints {
		if h := set.Endpoints[i].Hostname; h != "" && !strings.ContainsAny(h, ".*") {
			out = append(out, h)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
