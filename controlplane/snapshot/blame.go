// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

const (
	// maxBlamed rejections are traced; those who reject more mostly reject the same.
	maxBlamed = 200
	// maxReason of a proxy in a Problem, in bytes.
	maxReason = 400
)

// blaming says what a proxy does about what it rejects.
func blaming(r model.Rejection) string {
	pod, reason := r.Proxy.Namespace+"/"+r.Proxy.Name, oneLine(r.Reason)
	if r.TypeURL == envoy.BootstrapType {
		// Its name is only told between agent and control plane.
		return fmt.Sprintf("pod %s started without this patch: %s; mend it or take it back", pod, strings.TrimPrefix(reason, r.Resource+": "))
	}
	return fmt.Sprintf("pod %s rejects %s, which this makes or changes, and keeps what it had before: %s; mend it or take it back", pod, described(r), reason)
}

// Blame traces what proxies refuse to the objects that it was made of, and says
// so as Problems, each once, sorted; with what was set aside of it. What comes from no object, or may come from
// several, is told of the proxy's pod, and names them.
func (s *Snapshot) Blame(rejections []model.Rejection) []model.Problem {
	type what struct {
		origin            model.Origin
		field             string
		typeURL, resource string
	}
	seen := map[what]bool{}
	out := s.aside.problems()
	for i, r := range rejections {
		if i == maxBlamed {
			break
		}
		if s.aside != nil && s.aside.searches(r.Proxy) {
			continue // it is being found out
		}
		c := s.culprits(r)
		if len(c) == 1 {
			// Many proxies reject one thing; the first of them tells.
			if w := (what{c[0].origin, c[0].field, r.TypeURL, r.Resource}); !seen[w] {
				seen[w] = true
				out = append(out, c[0].origin.Problem(c[0].field, model.RejectedByProxy, blaming(r)))
			}
			continue
		}
		from := ""
		if len(c) > 1 {
			names := make([]string, len(c))
			for i, o := range c {
				names[i] = o.origin.Kind + " " + o.origin.Namespace + "/" + o.origin.Name
			}
			from = "; one of these makes it so: " + strings.Join(slices.Compact(names), ", ")
		}
		out = append(out, model.Problem{
			Kind: "Pod", Namespace: r.Proxy.Namespace, Name: r.Proxy.Name, Reason: model.RejectedByProxy,
			Message: fmt.Sprintf("its proxy rejects %s and keeps what it had before: %s%s", described(r), oneLine(r.Reason), from),
		})
	}
	slices.SortFunc(out, func(a, b model.Problem) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.Field, b.Field), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(out)
}

// described is a resource as people know it.
func described(r model.Rejection) string {
	_, kind, _ := strings.Cut(r.TypeURL, "/")
	kind = kind[strings.LastIndex(kind, ".")+1:]
	if r.Resource == "" {
		return "a " + kind
	}
	return fmt.Sprintf("%s %q", kind, r.Resource)
}

// oneLine of what a proxy says, which may be anything.
func oneLine(reason string) string {
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(reason, ""))
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	if text == "" {
		return "it gives no reason"
	}
	return text
}

// culprit is an object, and the field of it, that may be to blame.
type culprit struct {
	origin model.Origin
	field  string
}

// culprits of a rejection, one per object, sorted; patches before what they patch.
func (s *Snapshot) culprits(r model.Rejection) []culprit {
	out := s.patchesOf(r)
	if len(out) == 0 {
		switch r.TypeURL {
		case envoy.ClusterType:
			out = s.policiesOf(r)
		case envoy.RouteType, envoy.ListenerType:
			if out = s.routingsOf(r); len(out) == 0 {
				out = s.listenersOf(r)
			}
		case envoy.SecretType:
			out = s.filesOf(r)
		case envoy.ExtensionType:
			out = append(s.pluginsOf(r), s.limitsOf(r)...)
		case envoy.BootstrapType:
			out = s.bootstrapPatchesOf(r)
		}
	}
	slices.SortFunc(out, func(a, b culprit) int {
		return cmp.Or(cmp.Compare(a.origin.Kind, b.origin.Kind), cmp.Compare(a.origin.Namespace, b.origin.Namespace),
			cmp.Compare(a.origin.Name, b.origin.Name), cmp.Compare(a.field, b.field))
	})
	return slices.CompactFunc(out, func(a, b culprit) bool { return a.origin == b.origin })
}

// patchesOf are those that make another resource of it, each tried alone.
func (s *Snapshot) patchesOf(r model.Rejection) []culprit {
	if len(s.mesh.Patches) == 0 {
		return nil
	}
	return newTouches().of(s.seenBy(r.Proxy), r)
}

// policiesOf the host of a cluster.
func (s *Snapshot) policiesOf(r model.Rejection) []culprit {
	parts := strings.Split(r.Resource, "|")
	if len(parts) != 4 || parts[0] != "outbound" {
		return nil
	}
	var exact, wild []culprit
	for _, p := range s.mesh.Policies {
		switch suffix, isWild := strings.CutPrefix(p.Host, "*"); {
		case p.Host == parts[3]:
			exact = append(exact, culprit{p.Origin, "spec"})
		case isWild && strings.HasSuffix(parts[3], suffix):
			wild = append(wild, culprit{p.Origin, "spec"})
		}
	}
	if len(exact) > 0 {
		return exact
	}
	return wild
}

// routingsOf are those with a host that the proxy's reason, or the resource's
// name, tells.
func (s *Snapshot) routingsOf(r model.Rejection) []culprit {
	var out []culprit
	for _, routing := range s.mesh.Routings {
		if slices.ContainsFunc(routing.Hosts, func(h string) bool { return hasHost(r.Resource, h) || hasHost(r.Reason, h) }) {
			out = append(out, culprit{routing.Origin, "spec"})
		}
	}
	return out
}

// listenersOf gateways of which a resource is made.
func (s *Snapshot) listenersOf(r model.Rejection) []culprit {
	m := madeOf{s: s, p: r.Proxy, r: r}
	if r.Proxy.Type == model.Router && r.Resource != "" {
		m.listeners(map[model.GatewayRef]bool{})
	}
	out := make([]culprit, len(m.out))
	for i, h := range m.out {
		out[i] = culprit{h.on, h.field}
	}
	return out
}

// hasHost is true when a text has a host name, and not just a longer one.
func hasHost(text, host string) bool {
	if host == "" || host == "*" {
		return false
	}
	for from := 0; ; {
		i := strings.Index(text[from:], host)
		if i < 0 {
			return false
		}
		begin, end := from+i, from+i+len(host)
		if (begin == 0 || !inHost(text[begin-1])) && (end == len(text) || !inHost(text[end]) || text[end] == '.' && (end+1 == len(text) || !inHost(text[end+1]))) {
			return true
		}
		from = begin + 1
	}
}

func inHost(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '*' || c == '_'
}
