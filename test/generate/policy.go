// SPDX-License-Identifier: Apache-2.0

package generate

import (
	"time"

	"pgregory.net/rapid"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Policy makes one with every part of a traffic policy, for a host, its ports
// and a subset "v1". ca is a certificate in PEM.
func Policy(ca []byte) *rapid.Generator[*model.DestinationPolicy] {
	return rapid.Custom(func(t *rapid.T) *model.DestinationPolicy {
		p := &model.DestinationPolicy{
			Origin: model.Origin{Kind: "DestinationRule", Namespace: "shop", Name: rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "name")},
			Host:   string(Hosts.Draw(t, "host")),
			Policy: trafficPolicy(t, ca),
		}
		if rapid.Bool().Draw(t, "subset") {
			p.Subsets = []model.Subset{{Name: "v1", Labels: "version=v1", Policy: trafficPolicy(t, ca)}}
		}
		if rapid.Bool().Draw(t, "selected") {
			p.Selector = "app=client"
		}
		return p
	})
}

func trafficPolicy(t *rapid.T, ca []byte) model.TrafficPolicy {
	port := rapid.Custom(func(t *rapid.T) model.PortPolicy { return portPolicy(t, ca) })
	p := model.TrafficPolicy{
		PortPolicy:    port.Draw(t, "all ports"),
		ProxyProtocol: rapid.SampledFrom([]uint8{0, 0, 1, 2}).Draw(t, "proxy protocol"),
		RetryBudget: maybe(t, "budget", rapid.Custom(func(t *rapid.T) model.RetryBudget {
			return model.RetryBudget{Percent: percents.Draw(t, "percent"), MinConcurrency: numbers.Draw(t, "concurrency"), Interval: maybe(t, "interval", durations)}
		})),
		Tunnel: maybe(t, "tunnel", rapid.Custom(func(t *rapid.T) model.Tunnel {
			return model.Tunnel{
				Method: rapid.SampledFrom([]string{"CONNECT", "POST", ""}).Draw(t, "method"),
				Host:   rapid.SampledFrom([]string{"example.com", "10.0.0.1", "2001:db8::1", "%", ""}).Draw(t, "host"), Port: 443,
			}
		})),
	}
	p.PortPolicy.Port = 0
	if rapid.Bool().Draw(t, "port 80") {
		one := port.Draw(t, "its policy")
		one.Port = 80
		p.Ports = []model.PortPolicy{one}
	}
	return p
}

func portPolicy(t *rapid.T, ca []byte) model.PortPolicy {
	return model.PortPolicy{
		Balancer:    maybe(t, "balancer", rapid.Custom(balancer)),
		Connections: maybe(t, "connections", rapid.Custom(pool)),
		Outliers:    maybe(t, "outliers", rapid.Custom(outliers)),
		TLS:         maybe(t, "tls", rapid.Custom(func(t *rapid.T) model.ClientTLS { return clientTLS(t, ca) })),
	}
}

func balancer(t *rapid.T) model.Balancer {
	return model.Balancer{
		Kind: rapid.SampledFrom([]model.BalancerKind{
			model.DefaultBalancer, model.LeastRequest, model.RoundRobin, model.Random, model.Passthrough, model.RingHash, model.Maglev,
		}).Draw(t, "kind"),
		Hash: maybe(t, "hash", rapid.Custom(func(t *rapid.T) model.HashKey {
			k := model.HashKey{SourceIP: rapid.Bool().Draw(t, "source")}
			switch rapid.IntRange(0, 3).Draw(t, "key") {
			case 0:
				k.Header = names.Draw(t, "header")
			case 1:
				k.Query = words.Draw(t, "query")
			case 2:
				k.Cookie = &model.HashCookie{
					Name: words.Draw(t, "cookie"), Path: paths.Draw(t, "path"), TTL: maybe(t, "ttl", durations), Attributes: some(t, "attribute", 2, rapid.Custom(header)),
				}
			}
			return k
		})),
		MinimumRing: rapid.SampledFrom([]uint64{0, 1, 1024, 8 << 20, 1 << 40}).Draw(t, "ring"),
		Table:       rapid.SampledFrom([]uint64{0, 1, 2, 7, 65537, 65536, 5000011, 5000077, 1 << 63}).Draw(t, "table"),
		Locality:    maybe(t, "locality", rapid.Custom(Localities)),
		Warmup: maybe(t, "warmup", rapid.Custom(func(t *rapid.T) model.Warmup {
			return model.Warmup{Duration: durations.Draw(t, "duration"), MinimumPercent: maybe(t, "minimum", percents), Aggression: maybe(t, "aggression", percents)}
		})),
	}
}

var localities = rapid.SampledFrom([]string{"*", "eu", "eu/*", "eu/eu-1/*", "us/us-1/a", "us/*", "", "/", "a/b/c/d"})

// Localities makes a balancing among localities.
func Localities(t *rapid.T) model.LocalityBalancing {
	l := model.LocalityBalancing{Disabled: rapid.SampledFrom([]bool{false, false, true}).Draw(t, "disabled")}
	switch rapid.IntRange(0, 3).Draw(t, "balancing") {
	case 0:
		l.Distribute = some(t, "distribute", 2, rapid.Custom(func(t *rapid.T) model.Distribute {
			return model.Distribute{From: localities.Draw(t, "from"), To: some(t, "to", 3, rapid.Custom(func(t *rapid.T) model.LocalityWeight {
				return model.LocalityWeight{Locality: localities.Draw(t, "to"), Weight: numbers.Draw(t, "weight")}
			}))}
		}))
	case 1:
		l.Failover = []model.Failover{{From: "eu", To: "us"}}
	case 2:
		l.FailoverPriority = []string{"topology.istio.io/network", "topology.kubernetes.io/region", "version=v1", "app"}
	}
	return l
}

func pool(t *rapid.T) model.ConnectionPool {
	return model.ConnectionPool{
		MaxConnections: numbers.Draw(t, "connections"), ConnectTimeout: maybe(t, "connect", durations),
		TCPKeepalive: maybe(t, "keepalive", rapid.Custom(func(t *rapid.T) model.Keepalive {
			return model.Keepalive{Probes: numbers.Draw(t, "probes"), Time: durations.Draw(t, "time"), Interval: durations.Draw(t, "interval")}
		})),
		MaxConnectionAge: maybe(t, "age", durations), TCPIdleTimeout: maybe(t, "tcp idle", durations), MaxPending: numbers.Draw(t, "pending"),
		MaxRequests: numbers.Draw(t, "requests"), MaxRequestsPerConn: numbers.Draw(t, "per connection"), MaxRetries: maybe(t, "retries", numbers),
		IdleTimeout: maybe(t, "idle", durations), MaxConcurrentStreams: numbers.Draw(t, "streams"),
		UseClientProtocol: rapid.Bool().Draw(t, "client protocol"), HTTP2: maybe(t, "http2", rapid.Bool()),
		HTTP2Ping: maybe(t, "ping", rapid.Custom(func(t *rapid.T) model.Ping {
			return model.Ping{Interval: durations.Draw(t, "interval"), Timeout: durations.Draw(t, "timeout")}
		})),
	}
}

func outliers(t *rapid.T) model.OutlierDetection {
	return model.OutlierDetection{
		Consecutive5xx: maybe(t, "5xx", numbers), ConsecutiveGateway: maybe(t, "gateway", numbers), ConsecutiveLocal: maybe(t, "local", numbers),
		SplitLocal: rapid.Bool().Draw(t, "split"), Interval: maybe(t, "interval", durations),
		BaseEjection:       maybe(t, "base", rapid.SampledFrom([]time.Duration{-1, 0, 1, time.Second, 15 * time.Minute})),
		MaxEjectionPercent: maybe(t, "max ejection", numbers), MinHealthPercent: maybe(t, "min health", numbers),
		ErrorStatuses: some(t, "error status", 3, statuses),
	}
}

func clientTLS(t *rapid.T, ca []byte) model.ClientTLS {
	c := model.ClientTLS{
		Mode: rapid.SampledFrom([]model.ClientTLSMode{model.AutoTLS, model.DisableTLS, model.SimpleTLS, model.MutualTLS, model.MeshMutualTLS}).Draw(t, "mode"),
		SNI:  rapid.SampledFrom([]string{"", "example.com"}).Draw(t, "sni"),
		SubjectNames: some(t, "san", 2, rapid.SampledFrom([]string{
			"example.com", "spiffe://td/ns/a/sa/b", "10.0.0.1", "2001:db8::1", "urn:x", "*.example.com", "",
		})),
		SystemCA: rapid.Bool().Draw(t, "system"), Insecure: rapid.Bool().Draw(t, "insecure"),
		Invalid: rapid.SampledFrom([]string{"", "", "", "no"}).Draw(t, "invalid"),
	}
	switch rapid.IntRange(0, 4).Draw(t, "certificates") {
	case 0:
		c.CertificateFile, c.KeyFile, c.CAFile, c.CRLFile = "/etc/certs/cert.pem", "/etc/certs/key.pem", "/etc/certs/ca.pem", "/etc/certs/crl.pem"
	case 1:
		c.Credential = &model.CredentialRef{Namespace: rapid.SampledFrom([]string{"", "shop"}).Draw(t, "secret in"), Name: "secret"}
	case 2:
		c.CA = ca
	case 3:
		c.CA = []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	}
	return c
}
