// SPDX-License-Identifier: Apache-2.0

package generate

import (
	"strings"

	"pgregory.net/rapid"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Routing makes one with rules of every kind.
func Routing() *rapid.Generator[*model.Routing] {
	return rapid.Custom(func(t *rapid.T) *model.Routing {
		r := &model.Routing{
			Origin: model.Origin{
				Kind: "VirtualService", Namespace: rapid.SampledFrom([]string{"shop", "bank"}).Draw(t, "namespace"),
				Name:        rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "name"),
				CreatedUnix: int64(rapid.IntRange(1, 5).Draw(t, "created")),
			},
			Hosts:         []string{string(Hosts.Draw(t, "host"))},
			Gateways:      []model.GatewayRef{model.Sidecars},
			BySpecificity: rapid.Bool().Draw(t, "by specificity"),
			HTTP:          some(t, "http", 4, rapid.Custom(httpRule)),
			TLS:           some(t, "tls", 3, rapid.Custom(tlsRule)),
			TCP:           some(t, "tcp", 3, rapid.Custom(tcpRule)),
		}
		if r.BySpecificity {
			r.Kind = rapid.SampledFrom([]string{"HTTPRoute", "GRPCRoute"}).Draw(t, "kind")
		}
		return r
	})
}

func httpRule(t *rapid.T) model.HTTPRule {
	r := model.HTTPRule{
		Name:    rapid.SampledFrom([]string{"", "rule", "ü/%"}).Draw(t, "rule"),
		Matches: some(t, "match", 3, rapid.Custom(httpMatch)),
		Timeout: maybe(t, "timeout", durations), BackendTimeout: maybe(t, "backend timeout", durations),
		Rewrite: maybe(t, "rewrite", rapid.Custom(rewrite)),
		Retries: maybe(t, "retries", Retries()),
		Fault:   maybe(t, "fault", rapid.Custom(fault)),
		Mirrors: some(t, "mirror", 2, rapid.Custom(mirror)),
		CORS:    maybe(t, "cors", rapid.Custom(cors)),
		Headers: headerChanges(t),
		Invalid: rapid.SampledFrom([]string{"", "", "", "no"}).Draw(t, "invalid"),
	}
	switch rapid.IntRange(0, 5).Draw(t, "action") {
	case 0:
		r.Redirect = new(rapid.Custom(redirect).Draw(t, "redirect"))
	case 1:
		r.Direct = &model.DirectResponse{
			Status: statuses.Draw(t, "status"),
			Body:   []byte(strings.Repeat("x", bytes.Draw(t, "body"))),
		}
	default:
		r.Destinations = some(t, "destination", 4, rapid.Custom(destination))
	}
	return r
}

func httpMatch(t *rapid.T) model.HTTPMatch {
	named := rapid.Custom(func(t *rapid.T) model.NamedMatch {
		return model.NamedMatch{Name: names.Draw(t, "name"), Match: textMatch(t, "value"), Not: rapid.Bool().Draw(t, "not")}
	})
	return model.HTTPMatch{
		Name: rapid.SampledFrom([]string{"", "m"}).Draw(t, "match name"), StatPrefix: rapid.SampledFrom([]string{"", "stats"}).Draw(t, "stats"),
		Path: pathMatch(t), Scheme: textMatch(t, "scheme"), Method: textMatch(t, "method"), Authority: textMatch(t, "authority"),
		Headers: some(t, "header", 2, named), Query: some(t, "query", 2, named),
		Port: ports.Draw(t, "port"), IgnorePathCase: rapid.Bool().Draw(t, "ignore case"),
	}
}

func destination(t *rapid.T) model.Destination {
	return model.Destination{
		Host: Hosts.Draw(t, "host"), Subset: rapid.SampledFrom([]string{"", "v1"}).Draw(t, "subset"), Port: ports.Draw(t, "port"),
		Weight: numbers.Draw(t, "weight"), Headers: headerChanges(t),
		Invalid: rapid.SampledFrom([]string{"", "", "", "no"}).Draw(t, "invalid"),
	}
}

func redirect(t *rapid.T) model.Redirect {
	r := model.Redirect{
		Scheme: rapid.SampledFrom([]string{"", "http", "https", "ftp"}).Draw(t, "scheme"), Host: words.Draw(t, "host"), Port: ports.Draw(t, "port"),
		KeepPort: rapid.Bool().Draw(t, "keep port"), PortFromScheme: rapid.Bool().Draw(t, "port from scheme"), Status: statuses.Draw(t, "status"),
	}
	r.Path = maybe(t, "path", paths)
	if r.Path == nil {
		r.PrefixPath = maybe(t, "prefix", paths)
	}
	return r
}

func rewrite(t *rapid.T) model.Rewrite {
	w := model.Rewrite{Authority: words.Draw(t, "authority")}
	switch rapid.IntRange(0, 3).Draw(t, "rewrite of") {
	case 0:
		w.Path = new(paths.Draw(t, "path"))
	case 1:
		w.PrefixPath = new(paths.Draw(t, "prefix"))
	case 2:
		w.Pattern = regexes.Draw(t, "pattern")
		w.Substitution = rapid.SampledFrom([]string{"", "/x", `/\1`, `\0`, `\9`, `\`, `\\`, `/\x`}).Draw(t, "substitution")
	}
	return w
}

// Retries of a rule, or of the mesh.
func Retries() *rapid.Generator[model.Retries] {
	return rapid.Custom(func(t *rapid.T) model.Retries {
		return model.Retries{
			Attempts: numbers.Draw(t, "attempts"), PerTryTimeout: maybe(t, "per try", durations),
			On:       some(t, "on", 3, rapid.SampledFrom([]string{"5xx", "gateway-error", "reset", "connect-failure", "unavailable", "retriable-status-codes", "nonsense"})),
			Statuses: some(t, "retry status", 2, statuses), RemoteLocalities: rapid.Bool().Draw(t, "remote"),
			Backoff: maybe(t, "backoff", durations), AnyHost: rapid.Bool().Draw(t, "any host"),
		}
	})
}

func fault(t *rapid.T) model.Fault {
	return model.Fault{
		Delay: maybe(t, "delay", rapid.Custom(func(t *rapid.T) model.Delay {
			return model.Delay{Fixed: durations.Draw(t, "fixed"), Percent: percents.Draw(t, "percent")}
		})),
		Abort: maybe(t, "abort", rapid.Custom(func(t *rapid.T) model.Abort {
			return model.Abort{HTTPStatus: statuses.Draw(t, "status"), GRPCStatus: maybe(t, "grpc", rapid.Uint32Range(0, 18)), Percent: percents.Draw(t, "percent")}
		})),
	}
}

func mirror(t *rapid.T) model.Mirror {
	return model.Mirror{Destination: destination(t), Percent: percents.Draw(t, "percent")}
}

func cors(t *rapid.T) model.CORS {
	return model.CORS{
		Origins: some(t, "origin", 3, rapid.Custom(func(t *rapid.T) model.Match { return textMatch(t, "origin") })),
		Methods: some(t, "cors method", 2, words), AllowHeaders: some(t, "allow", 2, words), ExposeHeaders: some(t, "expose", 2, words),
		MaxAge: maybe(t, "max age", durations), Credentials: maybe(t, "credentials", rapid.Bool()), ForwardUnmatched: rapid.Bool().Draw(t, "forward"),
	}
}

var (
	serverNames = rapid.SampledFrom([]string{"a.example.com", "A.example.com", "*.example.com", "*", "", "*.", "a*.example.com", "*.*.com", "b.example.com"})
	subnets     = rapid.SampledFrom([]string{"10.0.0.0/8", "10.1.2.3/8", "10.1.2.3", "0.0.0.0/0", "::/0", "2001:db8::1", "2001:db8::/32", "10.0.0.0/33", "nonsense", "fe80::1%eth0"})
)

func tlsRule(t *rapid.T) model.TLSRule {
	return model.TLSRule{
		Name: rapid.SampledFrom([]string{"", "tls"}).Draw(t, "rule"),
		Matches: some(t, "match", 3, rapid.Custom(func(t *rapid.T) model.TLSMatch {
			return model.TLSMatch{ServerNames: some(t, "sni", 3, serverNames), DestinationSubnets: some(t, "subnet", 3, subnets), Port: ports.Draw(t, "port")}
		})),
		Destinations: some(t, "destination", 3, rapid.Custom(destination)),
	}
}

func tcpRule(t *rapid.T) model.TCPRule {
	return model.TCPRule{
		Name: rapid.SampledFrom([]string{"", "tcp"}).Draw(t, "rule"),
		Matches: some(t, "match", 3, rapid.Custom(func(t *rapid.T) model.TCPMatch {
			return model.TCPMatch{DestinationSubnets: some(t, "subnet", 3, subnets), Port: ports.Draw(t, "port")}
		})),
		Destinations: some(t, "destination", 3, rapid.Custom(destination)),
	}
}
