// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"
	"strings"
)

// Mesh is one immutable snapshot of a member's mesh.
type Mesh struct {
	Settings *Settings
	// Services, local, imported and of ServiceEntries, sorted by Service.Hostname,
	// then Namespace; one per both. Several namespaces may have a service of one
	// hostname; a caller sees one of them (package scope).
	Services []ServiceState
	// Workloads are the pods of this member, and its WorkloadEntries, sorted by
	// namespace, then name.
	Workloads []*Workload
	// What follows is sorted by Origin.Older: the oldest first.
	Routings        []*Routing
	Policies        []*DestinationPolicy
	Gateways        []*Gateway
	Scopes          []*Scope
	Authorizations  []*Authorization
	Authentications []*RequestAuthentication
	// Patches sorted by Priority, the root namespace's first, then Origin.Older, then Index.
	Patches []*Patch
	// ProxyConfigs sorted by Origin.Older; injection gives them to pods.
	ProxyConfigs []*ProxyConfig
	// Plugins are the WasmPlugins, sorted by Origin.Older.
	Plugins []*WasmPlugin
	// Telemetries sorted by Origin.Older.
	Telemetries []*Telemetry
	// RateLimits sorted by Origin.Older.
	RateLimits []*RateLimit
	// Credentials that gateways ask for, sorted by namespace, name and kind.
	Credentials []*Credential
	// Remotes are the members on other networks, sorted by Cluster.
	Remotes []*Remote
	// Problems are the objects, or parts of objects, that could not be used.
	Problems []Problem
}

// ServiceState is a service and who answers behind each of its ports.
// Endpoints[i] belongs to Service.Ports[i] and is never nil. An endpoint that
// comes or goes changes only its EndpointSet's pointer.
type ServiceState struct {
	Service   *Service
	Endpoints []*EndpointSet
	// UDP[i] belongs to Service.UDP[i].
	UDP []*EndpointSet
}

// EndpointsOf the port of a number; nil when there is none.
func (s ServiceState) EndpointsOf(number uint16) *EndpointSet {
	if s.Service == nil {
		return nil
	}
	i := slices.IndexFunc(s.Service.Ports, func(p Port) bool { return p.Number == number })
	if i < 0 {
		return nil
	}
	return s.Endpoints[i]
}

// Service looks a service up by its canonical hostname.
func (m *Mesh) Service(h Hostname) (ServiceState, bool) {
	i, ok := slices.BinarySearchFunc(m.Services, h, func(s ServiceState, h Hostname) int {
		return strings.Compare(string(s.Service.Hostname), string(h))
	})
	if !ok {
		return ServiceState{}, false
	}
	return m.Services[i], true
}

// Workload looks a pod up by namespace and name; nil when there is none.
func (m *Mesh) Workload(namespace, name string) *Workload {
	i, ok := slices.BinarySearchFunc(m.Workloads, [2]string{namespace, name}, func(w *Workload, k [2]string) int {
		if c := strings.Compare(w.Namespace, k[0]); c != 0 {
			return c
		}
		return strings.Compare(w.Name, k[1])
	})
	if !ok {
		return nil
	}
	return m.Workloads[i]
}

// ClusterID is a member's name in the federation; Istio's cluster ID.
type ClusterID string

// NetworkID names a set of pods that reach each other directly
// (label topology.istio.io/network).
type NetworkID string

// Hostname is a lower-case DNS name without a trailing dot.
type Hostname string

// Locality is where something runs, from the well-known topology labels.
type Locality struct{ Region, Zone, SubZone string }

// Settings are the mesh-wide options of one member. They are values: nothing
// below main reads flags or the environment.
type Settings struct {
	MeshID      string
	Cluster     ClusterID
	Network     NetworkID
	TrustDomain string
	// TrustDomainAliases name this member's own identities too.
	TrustDomainAliases []string
	// Revision of the control plane; empty is the default one.
	Revision string
	// RootNamespace holds mesh-wide configuration; "istio-system".
	RootNamespace string
	// DomainSuffix is the cluster's DNS suffix; "cluster.local".
	DomainSuffix string
	// Locality of this member, for workloads whose node tells none.
	Locality Locality
	// OutboundRegistryOnly refuses calls to hosts the mesh doesn't know
	// (meshConfig.outboundTrafficPolicy REGISTRY_ONLY); default is to let them pass.
	OutboundRegistryOnly bool
	// OutboundByName looks up the host that a request names, where the mesh doesn't
	// know it (ALLOW_ANY_DYNAMIC_DNS); what is no HTTP goes where it was meant to.
	// OutboundTLS is what such requests are sent in; nil for none.
	OutboundByName bool
	OutboundTLS    *ClientTLS
	// OutboundProxy is the cluster that takes what the mesh doesn't know (a Sidecar's
	// egressProxy); empty for where it was meant to go.
	OutboundProxy string
	// AccessLogPath is where Envoy writes its access log; empty writes none.
	AccessLogPath string
	// AccessLogFormat is Envoy's text format; empty takes Istio's default.
	AccessLogFormat string
	// NoRefusedLog leaves connections that no filter chain takes out of the access log
	// (meshConfig.disableEnvoyListenerLog).
	NoRefusedLog bool
	// LogProviders that can be referred to, sorted by name.
	LogProviders []LogProvider
	// Logs are the names of those that hold where no Telemetry says anything
	// (meshConfig.defaultProviders); none leaves it to AccessLogPath and LogService.
	Logs []string
	// LogService sends the access log to the bootstrap's cluster of that purpose, too
	// (meshConfig.enableEnvoyAccessLogService).
	LogService bool
	// StandardMetrics: proxies count calls for Prometheus as Istio's do
	// (meshConfig.defaultProviders.metrics; ingest sets it unless others are named).
	StandardMetrics bool
	// MetricProviders are the names of Prometheus in Telemetries, in lower case, sorted.
	MetricProviders []string
	// AutoMTLS makes clients use mutual TLS with every endpoint that can (default true).
	AutoMTLS bool
	// ConnectTimeoutMillis to an upstream; Istio's default is 10000.
	ConnectTimeoutMillis int64
	// LocalityBalancing of the mesh (meshConfig.localityLbSetting); nil for Istio's default.
	LocalityBalancing *LocalityBalancing
	// DetectionMillis is how long a proxy waits for a client's first bytes where it
	// tells the protocol by them; then the connection is passed on as TCP
	// (meshConfig.protocolDetectionTimeout). 0 waits as long as it takes.
	DetectionMillis int64
	// ProxyImageTypes are the variants of the proxy's image that the mesh has beside the default one.
	ProxyImageTypes []string
	// Connections and Outliers hold for calls to hosts whose policies have none
	// (meshConfig.defaultTrafficPolicy); nil for Istio's defaults.
	Connections *ConnectionPool
	Outliers    *OutlierDetection
	// Providers of extensions, sorted by name.
	Providers []Provider
	// PathNormalization before routes and policies look at a path.
	PathNormalization PathNormalization
	// Retries of the mesh (meshConfig.defaultHttpRetryPolicy); nil for DefaultAttempts on Istio's conditions.
	Retries *Retries
	// TCPKeepalive to upstreams (meshConfig.tcpKeepalive); nil for none.
	TCPKeepalive *Keepalive
	// HTTP2Upgrade speaks HTTP/2 to meshed endpoints of HTTP/1 ports (meshConfig.h2UpgradePolicy).
	HTTP2Upgrade bool
	// DNSRefreshMillis of DNS clusters (meshConfig.dnsRefreshRate); 0 for Istio's 60 s.
	DNSRefreshMillis int64
	// AccessLogJSON writes the access log as JSON; AccessLogFormat is then a JSON
	// object of field names and Envoy's operators, empty for Istio's default.
	AccessLogJSON bool
	// ServiceExportTo, RoutingExportTo and PolicyExportTo are the exportTo of
	// services, VirtualServices and DestinationRules that have none of their own
	// (meshConfig.default*ExportTo); empty for everyone. For VisibilityOf.
	ServiceExportTo, RoutingExportTo, PolicyExportTo []string
	// MeshTLS limits mutual TLS within the mesh, OtherTLS all other TLS
	// (meshConfig.meshMTLS and tlsDefaults).
	MeshTLS, OtherTLS TLSLimits
	// Topology of gateways (meshConfig.defaultConfig.gatewayTopology); nil for none.
	Topology *Topology
	// InboundLocalhost calls applications at 127.0.0.1, not at the pod's address
	// (meshConfig.inboundTrafficPolicy LOCALHOST).
	InboundLocalhost bool
	// LocalHosts are services whose callers stay in this member.
	LocalHosts LocalHosts
	// Ingress says which Ingresses of Kubernetes are served, and by which pods.
	Ingress IngressSettings
	// GatewayChecks of other networks' gateways; nil for none, and then this
	// member's gateways don't answer such checks either.
	GatewayChecks *GatewayChecks
}

// IngressSettings are MeshConfig's ingressControllerMode, ingressClass,
// ingressSelector and ingressService.
type IngressSettings struct {
	Mode IngressMode
	// Class is the annotation's value that means this mesh; empty for "istio".
	Class string
	// Selector is the label istio of the pods that serve Ingresses; empty for "ingressgateway".
	Selector string
	// Service of the root namespace whose addresses the statuses of Ingresses tell;
	// empty for "istio-ingressgateway".
	Service string
}

// IngressMode says which Ingresses are the mesh's.
type IngressMode uint8

// The modes. The zero value serves those of its class only (STRICT).
const (
	ClassedIngresses IngressMode = iota
	// UnclassedIngresses serves those without any class, too (DEFAULT).
	UnclassedIngresses
	// NoIngresses serves none (OFF).
	NoIngresses
)

// TLSLimits are what a mesh asks of TLS beside what it always does.
type TLSLimits struct {
	// MinVersion: 0 for TLS 1.2, else 0x0303 or 0x0304 (RFC 8446).
	MinVersion uint16
	// CipherSuites of TLS 1.2, and Curves, by Envoy's names; empty for the mesh's own, or Envoy's.
	CipherSuites, Curves []string
}

// PathNormalization is how paths are made comparable (meshConfig.pathNormalization).
type PathNormalization uint8

// The modes; the zero value is BASE, as in Istio.
const (
	// NormalizeBase follows RFC 3986 and turns backslashes into slashes.
	NormalizeBase PathNormalization = iota
	NormalizeNone
	// NormalizeMergeSlashes does the former and merges slashes.
	NormalizeMergeSlashes
	// NormalizeDecodeAndMerge also decodes %2F and %5C, whatever their case.
	NormalizeDecodeAndMerge
)

// Problem says which object could not be used and why. It becomes a condition
// on that object, or an event where the kind has no conditions.
type Problem struct {
	// Kind, Namespace and Name of the object.
	Kind, Namespace, Name string
	// Field is the path inside the object, such as "spec.ports[1].port".
	Field string
	// Reason is one CamelCase word, stable for machines.
	Reason string
	// Message says what is wrong and what mends it.
	Message string
}
