// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	api "istio.io/api/security/v1beta1"
	typeapi "istio.io/api/type/v1beta1"
	security "istio.io/client-go/pkg/apis/security/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

const benchPolicies = 1000

// BenchmarkPolicies: the town of BenchmarkFanout without policies, and with 1,000
// in one namespace, for the 400 sidecars of that namespace. Selecting has ten
// for each of its services; OnAll has all 1,000 on each of its sidecars, which
// is the worst there can be. Each operation goes from objects to what each
// sidecar is to be sent.
//
//	Start            from nothing
//	OnePolicy        after one policy has changed (Selecting, OnAll)
//	OneEndpoint      after one endpoint of that namespace has come or gone
//	with-ms          processor time, so that what else runs on the machine counts little; the median
//	without-ms       the same without policies, measured in turns
//	more-%           what policies add to it
//	sidecars         that are sent something; sent-KiB: how much each of them is
func BenchmarkPolicies(b *testing.B) {
	for _, of := range []struct {
		name    string
		address func(i int) *typeapi.WorkloadSelector
	}{
		{"Selecting", func(i int) *typeapi.WorkloadSelector {
			return &typeapi.WorkloadSelector{MatchLabels: map[string]string{"app": fmt.Sprintf("svc-%05d", i%100)}}
		}},
		{"OnAll", func(int) *typeapi.WorkloadSelector { return nil }},
	} {
		b.Run(of.name+"/Start", func(b *testing.B) {
			var without, with []float64
			for b.Loop() {
				without = append(without, newHamlet(nil).timed(func(*hamlet) {}))
				with = append(with, newHamlet(of.address).timed(func(*hamlet) {}))
			}
			reportShare(b, without, with)
		})
		b.Run(of.name+"/OneEndpoint", func(b *testing.B) {
			bare, guarded := newHamlet(nil), newHamlet(of.address)
			bare.timed(func(*hamlet) {})
			guarded.timed(func(*hamlet) {})
			var without, with []float64
			for b.Loop() {
				without = append(without, bare.timed(func(h *hamlet) { h.flip(3) }))
				with = append(with, guarded.timed(func(h *hamlet) { h.flip(3) }))
			}
			reportShare(b, without, with)
			guarded.reportSent(b)
		})
		b.Run(of.name+"/OnePolicy", func(b *testing.B) {
			h := newHamlet(of.address)
			h.timed(func(*hamlet) {})
			var with []float64
			i := 0
			for b.Loop() {
				i++
				with = append(with, h.timed(func(h *hamlet) { h.rewrite(7, i) }))
			}
			b.ReportMetric(quantile(with, .5), "with-ms")
			h.reportSent(b)
		})
	}
}

func reportShare(b *testing.B, without, with []float64) {
	w, p := quantile(without, .5), quantile(with, .5)
	b.ReportMetric(w, "without-ms")
	b.ReportMetric(p, "with-ms")
	b.ReportMetric(100*(p-w)/w, "more-%")
}

// hamlet is a town with policies in its first namespace, and the sidecars there
// with what they were sent last.
type hamlet struct {
	*town
	sent []map[*envoy.Resource]bool
	// sidecars that the last change concerned, and the bytes that it cost.
	sidecars, bytes int
}

func newHamlet(address func(i int) *typeapi.WorkloadSelector) *hamlet {
	h := &hamlet{town: newTown(benchServices), sent: make([]map[*envoy.Resource]bool, 400)}
	if address == nil {
		return h
	}
	for i := range benchPolicies {
		p := &security.AuthorizationPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "ns-000", Name: fmt.Sprintf("p-%04d", i)}}
		p.Spec.Selector = address(i)
		p.Spec.Rules = rulesOf(i, 0)
		h.in.Istio.AuthorizationPolicies = append(h.in.Istio.AuthorizationPolicies, p)
	}
	return h
}

// rulesOf a policy: a caller, what it may do, and a header.
func rulesOf(i, version int) []*api.Rule {
	return []*api.Rule{{
		From: []*api.Rule_From{{Source: &api.Source{Principals: []string{fmt.Sprintf("west.example/ns/ns-001/sa/caller-%d", i)}}}},
		To:   []*api.Rule_To{{Operation: &api.Operation{Methods: []string{"GET", "POST"}, Paths: []string{fmt.Sprintf("/api/%d/*", i)}}}},
		When: []*api.Condition{{Key: "request.headers[x-version]", Values: []string{fmt.Sprint(version)}}},
	}}
}

// rewrite one policy.
func (h *hamlet) rewrite(i, version int) {
	p := h.in.Istio.AuthorizationPolicies[i].DeepCopy()
	p.Spec.Rules = rulesOf(i, version)
	h.in.Istio.AuthorizationPolicies = slices.Clone(h.in.Istio.AuthorizationPolicies)
	h.in.Istio.AuthorizationPolicies[i] = p
}

// timed is how many milliseconds of processor time a change takes, from the objects to what each
// sidecar is to be sent.
func (h *hamlet) timed(change func(*hamlet)) float64 {
	change(h)
	runtime.GC()
	began := processCPU()
	shown := h.build()
	views := make([]*envoy.View, len(h.sent))
	for i := range views {
		p := h.in.Pods[i] // the first namespace's come first
		w := shown.Workload(p.Namespace, p.Name)
		views[i] = shown.View(describe(&node{kind: "sidecar", name: p.Name, namespace: p.Namespace}, spiffeid.ID{}, w))
	}
	took := processCPU() - began
	h.sidecars, h.bytes = 0, 0
	for i, v := range views {
		has, before := map[*envoy.Resource]bool{}, h.bytes
		for _, layers := range v.Types {
			for _, r := range all(layers) {
				has[r] = true
				if !h.sent[i][r] {
					h.bytes += len(r.Delta())
				}
			}
		}
		if h.bytes > before {
			h.sidecars++
		}
		h.sent[i] = has
	}
	return float64(took.Microseconds()) / 1000
}

func (h *hamlet) reportSent(b *testing.B) {
	b.ReportMetric(float64(h.sidecars), "sidecars")
	b.ReportMetric(float64(h.bytes)/float64(max(h.sidecars, 1))/1024, "sent-KiB")
}
