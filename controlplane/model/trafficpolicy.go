// SPDX-License-Identifier: Apache-2.0

package model

import "time"

// DestinationPolicy says how to call a host: a DestinationRule, or a
// BackendTLSPolicy. Its pointer changes when anything in it changes.
type DestinationPolicy struct {
	Origin
	// Host is a full name, or begins with "*.".
	Host    string
	Visible Visibility
	// Callers that it holds for, by the labels of workloads in its own namespace; empty for all.
	Selector Labels
	Policy   TrafficPolicy
	// Subsets sorted by name.
	Subsets []Subset
}

// Subset of a host's endpoints: those with these labels.
type Subset struct {
	Name   string
	Labels Labels
	// Policy is complete: what the subset leaves out is filled from the host's.
	Policy TrafficPolicy
}

// TrafficPolicy of a host or a subset.
type TrafficPolicy struct {
	PortPolicy
	// Ports override as a whole what they name; sorted by Port.
	Ports []PortPolicy
	// Tunnel through an HTTP proxy; nil for none.
	Tunnel *Tunnel
	// ProxyProtocol version sent before the first byte: 0 for none, 1 or 2.
	ProxyProtocol uint8
	// RetryBudget limits retries to a share of active requests; nil for none.
	RetryBudget *RetryBudget
}

// On returns what holds on a port of the service.
func (p *TrafficPolicy) On(port uint16) *PortPolicy {
	for i := range p.Ports {
		if p.Ports[i].Port == port {
			return &p.Ports[i]
		}
	}
	return &p.PortPolicy
}

// PortPolicy holds on one port, or on all when Port is 0. Nil parts take the mesh's defaults.
type PortPolicy struct {
	Port        uint16
	Balancer    *Balancer
	Connections *ConnectionPool
	Outliers    *OutlierDetection
	TLS         *ClientTLS
}

// BalancerKind is how an endpoint is chosen.
type BalancerKind uint8

// The balancers. The zero value is the mesh's default, which is LeastRequest.
const (
	DefaultBalancer BalancerKind = iota
	LeastRequest
	RoundRobin
	Random
	// Passthrough sends to the address that the caller meant.
	Passthrough
	// RingHash and Maglev hash what Hash names.
	RingHash
	Maglev
)

// Balancer chooses among the endpoints of a port.
type Balancer struct {
	Kind BalancerKind
	Hash *HashKey
	// MinimumRing is RingHash's smallest size; 0 for Envoy's. Table is Maglev's size (a prime); 0 for Envoy's.
	MinimumRing, Table uint64
	// Locality overrides Settings.Locality; nil takes it.
	Locality *LocalityBalancing
	Warmup   *Warmup
}

// HashKey is what consistent hashing looks at; one of them is set.
type HashKey struct {
	Header, Query string
	SourceIP      bool
	Cookie        *HashCookie
}

// HashCookie is made by the proxy when the request has none and TTL is set.
type HashCookie struct {
	Name, Path string
	TTL        *time.Duration
	// Attributes that a made cookie gets too.
	Attributes []Header
}

// LocalityBalancing orders or weighs localities.
type LocalityBalancing struct {
	// Disabled turns locality balancing off.
	Disabled bool
	// Distribute excludes the others; FailoverPriority decides before Failover.
	Distribute []Distribute
	Failover   []Failover
	// FailoverPriority are label keys, "key" or "key=value": endpoints that match
	// the caller in more of them, from the first on, go first.
	FailoverPriority []string
	// Zones tells the zones of the caller's region apart by their sizes (Istio's
	// zoneAwareLbSetting): endpoints in other regions stand by, in the order that
	// FailoverPriority and Failover give. Distribute is empty then; nil for none.
	Zones *ZoneBalancing
}

// ZoneBalancing is how zones of one region are told apart.
type ZoneBalancing struct {
	// MinimumHosts below which all zones are one; nil for Envoy's 6.
	MinimumHosts *uint32
}

// Distribute the traffic of callers in From ("region/zone/subzone", "*" at the
// end) over localities by weights that add up to 100.
type Distribute struct {
	From string
	To   []LocalityWeight
}

// LocalityWeight is a locality pattern and its share in per cent.
type LocalityWeight struct {
	Locality string
	Weight   uint32
}

// Failover from one region to another.
type Failover struct{ From, To string }

// Warmup lets new endpoints take traffic slowly.
type Warmup struct {
	Duration time.Duration
	// MinimumPercent that a new endpoint gets at once; nil for Envoy's 10. Aggression; nil for 1.
	MinimumPercent, Aggression *float64
}

// ConnectionPool limits connections and requests to a port. Nil and zero are Envoy's or the mesh's defaults.
type ConnectionPool struct {
	MaxConnections       uint32
	ConnectTimeout       *time.Duration
	TCPKeepalive         *Keepalive
	MaxConnectionAge     *time.Duration
	TCPIdleTimeout       *time.Duration
	MaxPending           uint32
	MaxRequests          uint32
	MaxRequestsPerConn   uint32
	MaxRetries           *uint32
	IdleTimeout          *time.Duration
	MaxConcurrentStreams uint32
	// UseClientProtocol speaks to the endpoint what the client spoke; HTTP2 upgrades (true) or not (false), nil by the mesh's default.
	UseClientProtocol bool
	HTTP2             *bool
	// HTTP2Ping probes connections of HTTP/2; nil for none.
	HTTP2Ping *Ping
}

// Ping of HTTP/2: one per Interval, each answered within Timeout.
type Ping struct{ Interval, Timeout time.Duration }

// Keepalive probes of TCP; zero values are the system's.
type Keepalive struct {
	Probes         uint32
	Time, Interval time.Duration
}

// OutlierDetection ejects endpoints that fail. Nil parts are Envoy's or Istio's defaults.
type OutlierDetection struct {
	// Consecutive5xx, ConsecutiveGateway and ConsecutiveLocal: 0 turns that detection off, nil takes the default.
	Consecutive5xx, ConsecutiveGateway, ConsecutiveLocal *uint32
	// SplitLocal tells failures to connect from answers.
	SplitLocal bool
	Interval   *time.Duration
	// BaseEjection is how long the first ejection lasts.
	BaseEjection *time.Duration
	// MaxEjectionPercent and MinHealthPercent from 0 to 100.
	MaxEjectionPercent, MinHealthPercent *uint32
	// ErrorStatuses are the answers that count as errors; empty for all from 500 on.
	ErrorStatuses []uint32
}

// RetryBudget limits concurrent retries.
type RetryBudget struct {
	Percent        float64
	MinConcurrency uint32
	// Interval over which requests count as active; nil for those that are active now.
	Interval *time.Duration
}

// Tunnel sends connections through a proxy with CONNECT or POST.
type Tunnel struct {
	Method string
	Host   string
	Port   uint16
}

// ClientTLSMode is how a client speaks TLS to an upstream.
type ClientTLSMode uint8

// The modes. The zero value is automatic: mesh mutual TLS where the endpoint can.
const (
	AutoTLS ClientTLSMode = iota
	DisableTLS
	SimpleTLS
	MutualTLS
	// MeshMutualTLS uses the workload's own certificate (ISTIO_MUTUAL).
	MeshMutualTLS
)

// ClientTLS of an upstream.
type ClientTLS struct {
	Mode ClientTLSMode
	// SNI sent; empty takes the request's host for SIMPLE and MUTUAL.
	SNI string
	// SubjectNames, one of which the server's certificate must carry, as DNS name or URI; empty for none asked.
	SubjectNames []string
	// Files in the proxy; or Credential, a Secret "namespace/name" (kubernetes://) that gateways read.
	CertificateFile, KeyFile, CAFile, CRLFile string
	Credential                                *CredentialRef
	// CA is PEM, as a BackendTLSPolicy's ConfigMap gives it.
	CA []byte
	// SystemCA verifies against the system's roots.
	SystemCA bool
	// Insecure doesn't verify the server.
	Insecure bool
	// Invalid says why the policy can't be followed: nothing is sent.
	Invalid string
}
