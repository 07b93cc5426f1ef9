// SPDX-License-Identifier: Apache-2.0

package proxyconfig

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	meshapi "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
)

// MaxConcurrency is above the processors of any machine: a proxy with more
// workers would only use its memory up.
const MaxConcurrency = 1024

// honoured are the fields that have an effect wherever they are written.
var honoured = map[protoreflect.Name]bool{
	"concurrency": true, "discovery_address": true, "drain_duration": true, "file_flush_interval": true,
	"file_flush_min_size_kb": true, "image": true, "mesh_id": true, "proxy_metadata": true, "proxy_stats_matcher": true,
	"runtime_values": true, "service_cluster": true, "statsd_udp_address": true, "termination_drain_duration": true,
	"tracing_service_name": true, "envoy_access_log_service": true,
	// A sidecar that is an init container is always ready before the application starts.
	"hold_application_until_proxy_starts": true,
}

// fixed are fields whose only possible value is the one that holds anyway.
var fixed = map[protoreflect.Name]string{
	"config_path": "./etc/istio/proxy", "binary_path": "/usr/local/bin/envoy",
	"proxy_admin_port": "15000", "status_port": "15020",
	"stat_name_length":          "189",
	"control_plane_auth_policy": "1", // MUTUAL_TLS
}

// others say of fields that have no effect what to do instead.
var others = map[protoreflect.Name]string{
	"availability_zone":             "the locality is the node's; label the node, or the pod with istio-locality",
	"binary_path":                   "Envoy is where the image has it; remove it",
	"ca_certificates_pem":           "the roots are those of the mesh and of its federation; add the CA there",
	"config_path":                   "the agent writes its files into its own volume; remove it",
	"connection_settings":           "connections are as Istio has them by default; use an EnvoyFilter",
	"control_plane_auth_policy":     "the control plane is always called with mutual TLS; remove it",
	"custom_config_file":            "Envoy's bootstrap is the agent's; use an EnvoyFilter with applyTo BOOTSTRAP",
	"discovery_refresh_delay":       "changes are sent at once; remove it",
	"envoy_metrics_service":         "metrics are scraped from port 15020, not sent; use an EnvoyFilter with applyTo BOOTSTRAP (stats_sinks)",
	"envoy_metrics_service_address": "metrics are scraped from port 15020, not sent; use an EnvoyFilter with applyTo BOOTSTRAP (stats_sinks)",
	"extra_stat_tags":               "tags of the standard metrics are fixed; remove it",
	"gateway_topology":              "it is for gateways only; set it on the gateway's pods, or in meshConfig.defaultConfig",
	"interception_mode":             "traffic is always led through the proxy by REDIRECT; remove it",
	"private_key_provider":          "keys are in the proxy's memory, stock Envoy has no other place; remove it",
	"proxy_admin_port":              "the administration interface is at port 15000; remove it",
	"proxy_bootstrap_template_path": "Envoy's bootstrap is the agent's; use an EnvoyFilter with applyTo BOOTSTRAP",
	"proxy_headers":                 "headers are as Istio has them by default; use an EnvoyFilter",
	"readiness_probe":               "it is for virtual machines; give the pod's container a readinessProbe",
	"sds":                           "certificates always come by SDS; remove it",
	"stat_name_length":              "names of statistics have no limit; remove it",
	"stats_compression":             "metrics are not compressed; remove it",
	"status_port":                   "the agent is at port 15020; remove it",
	"tracing":                       "spans are not sent by it; use an EnvoyFilter",
	"zipkin_address":                "spans are not sent by it; use an EnvoyFilter",
}

// Scope is where a ProxyConfig is written, or for what.
type Scope uint8

// The scopes.
const (
	// Mesh is meshConfig.defaultConfig.
	Mesh Scope = iota
	// Sidecar and Gateway are what a pod's annotation is for.
	Sidecar
	Gateway
)

// Check finds what of a configuration is not honoured, sorted by field. What is
// Invalid must not be used: Drop takes it out.
func Check(c *meshapi.ProxyConfig, scope Scope) []Finding {
	var out []Finding
	c.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Name() == "gateway_topology":
			if scope == Sidecar {
				out = append(out, Finding{f.JSONName(), NoEffect, others[f.Name()]})
			}
		case f.Name() == "interception_mode" && v.Enum() != 0:
			// A pod that is to be led through its proxy in another way must not run with less.
			out = append(out, Finding{f.JSONName(), Invalid, others[f.Name()]})
		case !honoured[f.Name()] && fixed[f.Name()] != v.String():
			out = append(out, Finding{f.JSONName(), NotSupported, cmp.Or(others[f.Name()], "proxies don't know it; remove it")})
		}
		return true
	})
	out = append(out, values(c)...)
	slices.SortStableFunc(out, func(a, b Finding) int { return strings.Compare(a.Field, b.Field) })
	return out
}

// values that can't be used, and variables that are left out.
func values(c *meshapi.ProxyConfig) []Finding {
	var out []Finding
	bad := func(field, format string, args ...any) {
		out = append(out, Finding{field, Invalid, fmt.Sprintf(format, args...)})
	}
	if n := c.GetConcurrency(); n != nil && (n.GetValue() < 0 || n.GetValue() > MaxConcurrency) {
		bad("concurrency", "%d is no number of workers; use 0 for one per processor, or 1 to %d", n.GetValue(), MaxConcurrency)
	}
	for _, d := range []struct {
		field string
		value *durationpb.Duration
		least time.Duration
	}{
		{"drainDuration", c.GetDrainDuration(), time.Second},
		{"fileFlushInterval", c.GetFileFlushInterval(), time.Millisecond},
		{"terminationDrainDuration", c.GetTerminationDrainDuration(), 0},
	} {
		if d.value == nil {
			continue
		}
		if v := d.value.AsDuration(); d.value.CheckValid() != nil || v < d.least || v > 24*time.Hour {
			bad(d.field, "%v can't be used; give %v to 24h", v, d.least)
		}
	}
	if text := c.GetStatsdUdpAddress(); text != "" {
		if at, err := netip.ParseAddrPort(text); err != nil || at.Port() == 0 || at.Addr().Zone() != "" {
			bad("statsdUdpAddress", "%.100q is no address and port; write such as 10.1.2.3:9125", text)
		}
	}
	if of := c.GetEnvoyAccessLogService(); of != nil {
		host, port, err := net.SplitHostPort(of.GetAddress())
		if n, wrong := strconv.ParseUint(port, 10, 16); err != nil || wrong != nil || host == "" || n == 0 {
			bad("envoyAccessLogService.address", "%.100q is no host and port; write such as logs.monitoring:15000", of.GetAddress())
		}
		switch of.GetTlsSettings().GetMode() {
		case networking.ClientTLSSettings_DISABLE, networking.ClientTLSSettings_ISTIO_MUTUAL:
		default:
			bad("envoyAccessLogService.tlsSettings", "nothing is sent to it: proxies have the mesh's certificates only; use mode ISTIO_MUTUAL or DISABLE, or a provider of meshConfig.extensionProviders with a DestinationRule")
		}
	}
	if t := c.GetImage().GetImageType(); t != "" && !imageType.MatchString(t) {
		bad("image.imageType", "%.100q can't be a part of an image's tag; use such as debug", t)
	}
	for i, e := range c.GetProxyStatsMatcher().GetInclusionRegexps() {
		if _, err := regexp.Compile(e); err != nil {
			bad(fmt.Sprintf("proxyStatsMatcher.inclusionRegexps[%d]", i), "%v; correct it", err)
		}
	}
	for name, value := range c.GetProxyMetadata() {
		if f, _ := Variable(name, value); f != nil {
			out = append(out, Finding{"proxyMetadata[" + f.Field + "]", f.Reason, f.Message})
		}
	}
	return out
}

// Drop takes out of a configuration what can't be used, so that the rest of a
// mesh's default holds. It returns the configuration, changed in place.
func Drop(c *meshapi.ProxyConfig) *meshapi.ProxyConfig {
	fields := c.ProtoReflect().Descriptor().Fields()
	for _, f := range Check(c, Mesh) {
		if f.Reason != Invalid {
			continue
		}
		// A list, or message, of which a part can't be used goes as a whole;
		// variables one by one.
		name, _, _ := strings.Cut(f.Field, ".")
		if strings.HasPrefix(name, "proxyMetadata[") {
			continue
		}
		if d := fields.ByJSONName(name); d != nil {
			c.ProtoReflect().Clear(d)
		}
	}
	keepVariables(c)
	return c
}

// keepVariables drops those that may not be set.
func keepVariables(c *meshapi.ProxyConfig) {
	for name, value := range c.GetProxyMetadata() {
		if _, set := Variable(name, value); !set {
			delete(c.ProxyMetadata, name)
		}
	}
}
