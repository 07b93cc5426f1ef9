// SPDX-License-Identifier: Apache-2.0

package networking

import (
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// maxBoth matches may come out of a root's rule and a delegate's: what is more
// would let two small objects make a huge one.
const maxBoth = 1000

// both are the matches that hold when one of root's and one of own do. It tells
// what can't be said as one match.
func both(root, own []model.HTTPMatch) (out []model.HTTPMatch, told []string) {
	switch {
	case len(root) == 0:
		return own, nil
	case len(own) == 0:
		return root, nil
	case len(root)*len(own) > maxBoth:
		return nil, []string{"the matches of root and delegate make too many together; use fewer"}
	}
	for i := range own {
		for j := range root {
			m, ok, why := narrow(&root[j], &own[i])
			if ok {
				out = append(out, m)
			} else if why != "" {
				told = append(told, why)
			}
		}
	}
	return out, told
}

// narrow is the match that holds when both do; false when none can, or when it
// can't be said, for which there is a reason.
func narrow(root, own *model.HTTPMatch) (m model.HTTPMatch, ok bool, why string) {
	m = *own
	m.Name = strings.Trim(root.Name+"-"+own.Name, "-")
	if m.StatPrefix == "" {
		m.StatPrefix = root.StatPrefix
	}
	for _, part := range []struct {
		name   string
		a, b   model.Match
		result *model.Match
	}{
		{"uri", root.Path, own.Path, &m.Path},
		{"scheme", root.Scheme, own.Scheme, &m.Scheme},
		{"method", root.Method, own.Method, &m.Method},
		{"authority", root.Authority, own.Authority, &m.Authority},
	} {
		v, fits, known := narrowText(part.a, part.b)
		if !known {
			return m, false, part.name + " is matched by an expression in the root or here, which can't be joined with another match of it; keep one of the two"
		}
		if !fits {
			return m, false, ""
		}
		*part.result = v
	}
	m.IgnorePathCase = m.Path.IgnoreCase
	m.Headers = joinNamed(root.Headers, own.Headers)
	m.Query = joinNamed(root.Query, own.Query)
	if root.Port != 0 && own.Port != 0 && root.Port != own.Port {
		return m, false, ""
	}
	m.Port = max(root.Port, own.Port)
	m.From, ok = narrowCallers(root.From, own.From)
	return m, ok, ""
}

// narrowText is the match of a text that holds when both do.
func narrowText(a, b model.Match) (m model.Match, fits, known bool) {
	switch {
	case a.Kind == model.MatchAny || a == b:
		return b, true, true
	case b.Kind == model.MatchAny:
		return a, true, true
	case a.Kind == model.MatchRegex || b.Kind == model.MatchRegex:
		return m, false, false
	}
	if a.Kind == model.MatchExact {
		a, b = b, a // if one of them is exact it is b
	}
	if a.Kind == model.MatchPrefix && b.Kind == model.MatchPrefix && len(a.Value) > len(b.Value) {
		a, b = b, a // b is the longer one
	}
	x, y := a.Value, b.Value
	if a.IgnoreCase {
		// Where b looks at case and a doesn't, b alone says it.
		x, y = strings.ToLower(x), strings.ToLower(y)
	} else if b.IgnoreCase {
		if !strings.EqualFold(x, y[:min(len(x), len(y))]) {
			return m, false, true
		}
		return m, false, false
	}
	if a.Kind == model.MatchExact {
		return b, x == y, true
	}
	return b, strings.HasPrefix(y, x), true
}

// joinNamed asks for all of both, sorted by name.
func joinNamed(root, own []model.NamedMatch) []model.NamedMatch {
	var out []model.NamedMatch
	there := map[model.NamedMatch]bool{}
	for _, m := range slices.Concat(root, own) {
		if !there[m] {
			there[m] = true
			out = append(out, m)
		}
	}
	slices.SortStableFunc(out, func(a, b model.NamedMatch) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// narrowCallers are those that are callers of both.
func narrowCallers(a, b model.Callers) (model.Callers, bool) {
	if a.Namespace != "" && b.Namespace != "" && a.Namespace != b.Namespace {
		return model.Callers{}, false
	}
	labels := map[string]string{}
	for k, v := range a.Labels.All() {
		labels[k] = v
	}
	for k, v := range b.Labels.All() {
		if was, ok := labels[k]; ok && was != v {
			return model.Callers{}, false
		}
		labels[k] = v
	}
	out := model.Callers{Labels: model.LabelsOf(labels), Namespace: max(a.Namespace, b.Namespace), Gateways: b.Gateways}
	switch {
	case len(b.Gateways) == 0:
		out.Gateways = a.Gateways
	case len(a.Gateways) > 0:
		out.Gateways = nil
		for _, g := range b.Gateways {
			if slices.Contains(a.Gateways, g) {
				out.Gateways = append(out.Gateways, g)
			}
		}
		return out, len(out.Gateways) > 0
	}
	return out, true
}
