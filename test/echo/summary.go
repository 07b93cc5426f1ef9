// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"slices"
	"time"
)

// maxErrors is how many errors a summary quotes.
const maxErrors = 5

// result is how one request ended.
type result struct {
	// status is the HTTP status as text, or a word for what happened instead.
	status string
	// answer is what the server saw, if it told.
	answer *Answer
	err    error
	took   time.Duration
	// ended is when the answer came.
	ended time.Time
}

// Summary is what came of all requests.
type Summary struct {
	Sent   int `json:"sent"`
	OK     int `json:"ok"`
	Failed int `json:"failed"`
	// Statuses, ByHostname, ByVersion and Identities count requests.
	Statuses   map[string]int `json:"statuses"`
	ByHostname map[string]int `json:"byHostname"`
	ByVersion  map[string]int `json:"byVersion,omitempty"`
	// Last is when the last request came in, by hostname.
	Last map[string]time.Time `json:"last,omitempty"`
	// First is when the first answer of a status came.
	First map[string]time.Time `json:"first,omitempty"`
	// Identities are those of clients, as the server's proxy saw them.
	Identities map[string]int `json:"identities"`
	// Errors are the first few that differ.
	Errors  []string `json:"errors,omitempty"`
	P50     float64  `json:"p50ms"`
	P99     float64  `json:"p99ms"`
	Max     float64  `json:"maxms"`
	Seconds float64  `json:"seconds"`
}

// summarise counts results. They may be in any order.
func summarise(results []result, took time.Duration) Summary {
	s := Summary{
		Sent:     len(results),
		Statuses: map[string]int{}, ByHostname: map[string]int{}, ByVersion: map[string]int{}, Identities: map[string]int{},
		Last: map[string]time.Time{}, First: map[string]time.Time{},
		Seconds: round(took.Seconds()),
	}
	latencies := make([]time.Duration, 0, len(results))
	for _, r := range results {
		s.Statuses[r.status]++
		if first, seen := s.First[r.status]; !seen || r.ended.Before(first) {
			s.First[r.status] = r.ended
		}
		latencies = append(latencies, r.took)
		if r.err == nil {
			s.OK++
		} else {
			s.Failed++
			if text := r.err.Error(); len(s.Errors) < maxErrors && !slices.Contains(s.Errors, text) {
				s.Errors = append(s.Errors, text)
			}
		}
		if r.answer == nil {
			continue
		}
		s.ByHostname[r.answer.Hostname]++
		if at := r.answer.At; at.After(s.Last[r.answer.Hostname]) {
			s.Last[r.answer.Hostname] = at
		}
		if r.answer.Version != "" {
			s.ByVersion[r.answer.Version]++
		}
		for _, identity := range r.answer.identities() {
			s.Identities[identity]++
		}
	}
	slices.Sort(latencies)
	s.P50, s.P99, s.Max = quantile(latencies, 0.5), quantile(latencies, 0.99), quantile(latencies, 1)
	return s
}

// quantile returns a quantile of sorted durations, in milliseconds.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := int(math.Ceil(q*float64(len(sorted)))) - 1
	return round(float64(sorted[max(at, 0)].Microseconds()) / 1000)
}

func round(x float64) float64 { return math.Round(x*1000) / 1000 }
