// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	meshv1alpha1 "istio.io/api/mesh/v1alpha1"

	"github.com/isthmesh/isthmesh/controlplane/agent"
	"github.com/isthmesh/isthmesh/controlplane/agent/bootstrap"
)

// proxyConfig takes what the mesh's defaultConfig and the pod's annotation
// proxy.istio.io/config say, which injection has merged.
func proxyConfig(s *agent.Settings, text []byte) error {
	// -1: nothing is said, the limit of processors decides.
	s.Concurrency = -1
	if len(text) == 0 {
		return nil
	}
	var c meshv1alpha1.ProxyConfig
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, &c); err != nil {
		return fmt.Errorf("not a ProxyConfig: %w", err)
	}
	s.Node.ProxyConfig = text
	if c.GetDiscoveryAddress() != "" {
		s.Discovery = c.GetDiscoveryAddress()
	}
	if c.GetConcurrency() != nil {
		s.Concurrency = int(max(c.GetConcurrency().GetValue(), 0))
	}
	if c.GetDrainDuration() != nil {
		s.DrainTime = c.GetDrainDuration().AsDuration()
	}
	if c.GetTerminationDrainDuration() != nil {
		s.DrainAtMost = c.GetTerminationDrainDuration().AsDuration()
	}
	if c.GetFileFlushInterval() != nil {
		s.FlushInterval = c.GetFileFlushInterval().AsDuration()
	}
	if m := c.GetProxyStatsMatcher(); m != nil {
		s.Stats = bootstrap.Stats{Prefixes: m.GetInclusionPrefixes(), Suffixes: m.GetInclusionSuffixes(), Regexps: m.GetInclusionRegexps()}
	}
	return nil
}
