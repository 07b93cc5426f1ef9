// SPDX-License-Identifier: Apache-2.0

package hub_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/federation/hub"
	"github.com/isthmesh/isthmesh/federation/member"
)

// BenchmarkPropagation: 100 members with 40 services each, hub and members in
// one process over mutual TLS on loopback. One endpoint count changes; the time
// is until the control planes of the 99 others are told, for each of them.
func BenchmarkPropagation(b *testing.B) {
	const members, services = 100, 40
	f := newFleet(b, "shop", hub.Options{})
	arrived := make(chan time.Time, members)
	type round struct {
		exporter int
		ready    uint32
	}
	var current atomic.Pointer[round]
	clients := make([]*client, members)
	for n := range members {
		name := fmt.Sprintf("m%03d", n)
		var last uint32
		clients[n] = f.enrol(name, nil).run(func(o *member.Options) {
			o.MinBackoff, o.MaxBackoff = 0, 0 // the defaults
			tell := o.OnImports
			o.OnImports = func(i *model.Imports) {
				tell(i)
				r := current.Load()
				if r == nil || r.ready == last {
					return
				}
				k := r.exporter
				if n < k {
					k-- // the own name is not among the imports
				}
				if ready(i.Members[k].Services[0]) == r.ready {
					last = r.ready
					arrived <- time.Now()
				}
			}
		})
	}
	began := time.Now()
	lists := make([][]*model.Export, members)
	for n, c := range clients {
		lists[n] = exports(services, 1)
		c.SetExports(lists[n])
	}
	eventually(b, "everybody holds all", func() bool {
		return !slices.ContainsFunc(clients, func(c *client) bool { return c.State().Imported != (members-1)*services })
	})
	b.Logf("all %d imports are there after %s", members*(members-1)*services, time.Since(began).Round(time.Millisecond))
	bytes, messages := f.traffic.bytes.Load(), f.traffic.in.Load()+f.traffic.out.Load()
	var all []time.Duration
	rounds := 0
	for b.Loop() {
		rounds++
		exporter := rounds % members
		next := slices.Clone(lists[exporter])
		next[0] = exports(1, uint32(rounds+1))[0]
		lists[exporter] = next
		current.Store(&round{exporter, uint32(rounds + 1)})
		start := time.Now()
		clients[exporter].SetExports(next)
		for range members - 1 {
			all = append(all, (<-arrived).Sub(start))
		}
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(f.traffic.bytes.Load()-bytes)/float64(rounds), "wire-B/change")
	b.ReportMetric(float64(f.traffic.in.Load()+f.traffic.out.Load()-messages)/float64(rounds), "msgs/change")
}
