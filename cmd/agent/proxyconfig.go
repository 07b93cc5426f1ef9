// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"
	meshv1alpha1 "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/isthmesh/isthmesh/controlplane/agent"
	"github.com/isthmesh/isthmesh/controlplane/agent/bootstrap"
)

// proxyConfig takes what the mesh's defaultConfig, ProxyConfigs and the pod's
// annotation proxy.istio.io/config say, which injection has merged.
func proxyConfig(s *agent.Settings, text []byte, env variables) error {
	// -1: nothing is said, the limit of processors decides.
	s.Concurrency = -1
	s.Environment = passedOn(env, nil)
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
	if c.GetMeshId() != "" {
		s.Node.MeshID = c.GetMeshId()
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
	s.FlushKilobytes = c.GetFileFlushMinSizeKb()
	if m := c.GetProxyStatsMatcher(); m != nil {
		s.Stats = bootstrap.Stats{Prefixes: m.GetInclusionPrefixes(), Suffixes: m.GetInclusionSuffixes(), Regexps: m.GetInclusionRegexps()}
	}
	if text := c.GetStatsdUdpAddress(); text != "" {
		at, err := netip.ParseAddrPort(text)
		if err != nil {
			return fmt.Errorf("statsdUdpAddress: %w", err)
		}
		s.Stats.Statsd = at
	}
	if of := c.GetEnvoyAccessLogService(); of.GetAddress() != "" {
		alive := of.GetTcpKeepalive()
		s.LogService = bootstrap.LogService{
			Address: of.GetAddress(), MutualTLS: of.GetTlsSettings().GetMode() == networking.ClientTLSSettings_ISTIO_MUTUAL, Keepalive: alive != nil,
			Probes: alive.GetProbes(), Time: seconds(alive.GetTime()), Interval: seconds(alive.GetInterval()),
		}
	}
	s.Runtime = c.GetRuntimeValues()
	s.Environment = passedOn(env, c.GetProxyMetadata())
	s.Node.Service = tracingName(&c, s.Node)
	return nil
}

// facts of the pod that Envoy may write into headers and access logs.
var facts = []string{"HOST_IP", "INSTANCE_IP", "NODE_NAME", "POD_NAME", "POD_NAMESPACE", "SERVICE_ACCOUNT"}

// passedOn are the variables that Envoy gets of the agent's, sorted: those of the
// configuration, which plugins may ask for, and the facts. Nothing else of the
// container is Envoy's.
func passedOn(env variables, configured map[string]string) []string {
	names := slices.Concat(facts, slices.Collect(maps.Keys(configured)))
	slices.Sort(names)
	var out []string
	for _, name := range slices.Compact(names) {
		if value, ok := env[name]; ok {
			out = append(out, name+"="+value)
		}
	}
	return out
}

// tracingName is what the proxy is called in traces.
func tracingName(c *meshv1alpha1.ProxyConfig, n bootstrap.Node) string {
	canonical := first(n.Labels["service.istio.io/canonical-name"], n.Labels["app.kubernetes.io/name"], n.Labels["app"], n.WorkloadName, "istio-proxy")
	switch name := c.GetClusterName().(type) {
	case *meshv1alpha1.ProxyConfig_ServiceCluster:
		return first(name.ServiceCluster, n.Service)
	case *meshv1alpha1.ProxyConfig_TracingServiceName_:
		switch name.TracingServiceName {
		case meshv1alpha1.ProxyConfig_CANONICAL_NAME_ONLY:
			return canonical
		case meshv1alpha1.ProxyConfig_CANONICAL_NAME_AND_NAMESPACE:
			return canonical + "." + n.Namespace
		case meshv1alpha1.ProxyConfig_APP_LABEL_AND_NAMESPACE:
			return first(n.Labels["app"], "istio-proxy") + "." + n.Namespace
		}
	}
	return n.Service
}

// seconds of a duration, rounded up; 0 for none.
func seconds(d *durationpb.Duration) uint32 {
	return uint32((d.AsDuration() + time.Second - 1) / time.Second)
}
