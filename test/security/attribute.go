// SPDX-License-Identifier: Apache-2.0

package security

import (
	"net/netip"
	"slices"
	"strings"

	api "istio.io/api/security/v1beta1"
)

// like compares as rules do: exact, prefix*, *suffix, * for what isn't empty.
func like(pattern, value string) bool {
	switch {
	case value == "":
		return false
	case pattern == "*":
		return true
	case strings.HasSuffix(pattern, "*"):
		return strings.HasPrefix(value, pattern[:len(pattern)-1])
	case strings.HasPrefix(pattern, "*"):
		return strings.HasSuffix(value, pattern[1:])
	}
	return pattern == value
}

// principal compares identities. Without a trust domain, or with cluster.local,
// it is one of this member, under any name of it.
func (e *evaluation) principal(pattern string) bool {
	if like(pattern, e.caller.Identity) && !strings.HasPrefix(pattern, "cluster.local/") {
		return true
	}
	rest := pattern
	if !strings.HasPrefix(pattern, "ns/") {
		domain, after, _ := strings.Cut(pattern, "/")
		if domain != "cluster.local" && !slices.Contains(e.Domains, domain) {
			return false
		}
		rest = after
	}
	return slices.ContainsFunc(e.Domains, func(d string) bool { return like(d+"/"+rest, e.caller.Identity) })
}

func (e *evaluation) account(v string) bool {
	ns, name, ok := strings.Cut(v, "/")
	if !ok {
		ns, name = e.policy.Namespace, v
	}
	return e.part(2) == ns && e.part(4) == name
}

func (e *evaluation) fromBlock(v string) bool       { return within(v, e.caller.Address) }
func (e *evaluation) fromRemoteBlock(v string) bool { return within(v, e.remote()) }

func within(block string, address netip.Addr) bool {
	if a, err := netip.ParseAddr(block); err == nil {
		return a == address
	}
	p, err := netip.ParsePrefix(block)
	return err == nil && p.Contains(address)
}

func (e *evaluation) requestPrincipal(v string) bool {
	issuer, _ := e.claims["iss"].(string)
	subject, _ := e.claims["sub"].(string)
	return issuer != "" && subject != "" && like(v, issuer+"/"+subject)
}

// path as policies see it, without its query.
func (e *evaluation) path(v string) bool {
	p, _, _ := strings.Cut(e.call.Path, "?")
	if !strings.Contains(v, "{*}") && !strings.Contains(v, "{**}") {
		return like(v, p)
	}
	return template(strings.Split(v, "/"), strings.Split(p, "/"))
}

// template compares segment by segment.
func template(want, got []string) bool {
	for i, w := range want {
		if w == "{**}" {
			// The last operator: what follows it must end the path.
			tail := want[i+1:]
			return len(got)-i > len(tail) && template(tail, got[len(got)-len(tail):])
		}
		if i >= len(got) || w != got[i] && (w != "{*}" || got[i] == "") {
			return false
		}
	}
	return len(want) == len(got)
}

func (e *evaluation) condition(c *api.Condition) bool {
	name, in := c.GetKey(), ""
	if i := strings.IndexByte(name, '['); i >= 0 {
		name, in = name[:i], strings.TrimSuffix(name[i+1:], "]")
	}
	values, not := c.GetValues(), c.GetNotValues()
	if strings.HasPrefix(name, "request.") && e.call.TCP() {
		return true
	}
	switch name {
	case "source.principal":
		return e.peer(values, not, e.principal)
	case "source.namespace":
		return e.peer(values, not, func(v string) bool { return like(v, e.part(2)) })
	case "source.serviceAccount":
		return e.peer(values, not, e.account)
	case "source.trustDomain":
		return e.peer(values, not, func(v string) bool { return like(v, e.part(0)) })
	case "source.ip":
		return matches(values, not, e.fromBlock)
	case "remote.ip":
		return matches(values, not, e.fromRemoteBlock)
	case "connection.sni":
		return matches(values, not, func(v string) bool { return like(v, e.ServerName(e.call)) })
	case "destination.port":
		return matches(values, not, func(v string) bool { return v == e.Ports[e.call.Port] })
	case "destination.ip":
		return matches(values, not, func(v string) bool { p, err := netip.ParsePrefix(v); return err == nil && p.Contains(serverAddress) })
	case "request.auth.principal":
		return matches(values, not, e.requestPrincipal)
	case "request.auth.audiences":
		return matches(values, not, e.claim("aud"))
	case "request.auth.presenter":
		return matches(values, not, e.claim("azp"))
	case "request.auth.claims":
		return matches(values, not, e.claim(strings.Split(in, "][")...))
	case "request.headers":
		return matches(values, not, e.header(in))
	}
	return e.refuses
}

// serverAddress is where the workload is.
var serverAddress = netip.MustParseAddr("10.244.0.20")

// claim of the token, or one entry of it when it is a list. scope and
// permission are lists joined by spaces.
func (e *evaluation) claim(path ...string) func(string) bool {
	var at any = e.claims
	for _, key := range path {
		m, _ := at.(map[string]any)
		at = m[key]
	}
	return func(v string) bool {
		switch got := at.(type) {
		case string:
			if path[0] == "scope" || path[0] == "permission" {
				return slices.ContainsFunc(strings.Fields(got), func(s string) bool { return like(v, s) })
			}
			return like(v, got)
		case []any:
			return slices.ContainsFunc(got, func(entry any) bool { s, _ := entry.(string); return like(v, s) })
		}
		return false
	}
}

func (e *evaluation) header(name string) func(string) bool {
	return func(v string) bool {
		for _, h := range strings.Split(e.call.Headers, "&") {
			if k, value, ok := strings.Cut(h, "="); ok && strings.EqualFold(k, name) && like(v, value) {
				return true
			}
		}
		return false
	}
}
