// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// filesOf a rejected secret: the objects that name a file which the proxy can't
// read. Its reason has the path, or the resource's name has it.
func (s *Snapshot) filesOf(r model.Rejection) []culprit {
	named := func(paths []string) bool {
		return slices.ContainsFunc(paths, func(p string) bool { return hasPath(r.Resource, p) || hasPath(r.Reason, p) })
	}
	var out []culprit
	for _, p := range s.mesh.Policies {
		if named(filesOfPolicy(p)) {
			out = append(out, culprit{p.Origin, "spec"})
		}
	}
	for _, x := range s.mesh.Scopes {
		for _, i := range x.Ingress {
			if named(filesOfListener(i.TLS)) {
				out = append(out, culprit{x.Origin, "spec.ingress"})
			}
		}
	}
	for _, g := range s.mesh.Gateways {
		for _, l := range g.Listeners {
			if named(filesOfListener(l.TLS)) {
				out = append(out, culprit{g.Origin, "spec.servers"})
			}
		}
	}
	return out
}

func filesOfPolicy(p *model.DestinationPolicy) (out []string) {
	one := func(c *model.ClientTLS) {
		if c != nil {
			out = append(out, c.CertificateFile, c.KeyFile, c.CAFile, c.CRLFile)
		}
	}
	all := func(t *model.TrafficPolicy) {
		one(t.TLS)
		for i := range t.Ports {
			one(t.Ports[i].TLS)
		}
	}
	all(&p.Policy)
	for i := range p.Subsets {
		all(&p.Subsets[i].Policy)
	}
	return out
}

func filesOfListener(l *model.ListenerTLS) []string {
	if l == nil {
		return nil
	}
	out := []string{l.CertificateFile, l.KeyFile, l.CAFile, l.CRLFile}
	for _, f := range l.MoreFiles {
		out = append(out, f.Certificate, f.Key)
	}
	return out
}

// hasPath is true when a text has a path, and not just one that begins so.
func hasPath(text, path string) bool {
	if path == "" {
		return false
	}
	for from := 0; ; {
		i := strings.Index(text[from:], path)
		if i < 0 {
			return false
		}
		end := from + i + len(path)
		if end == len(text) || !inHost(text[end]) && text[end] != '/' || text[end] == '.' && (end+1 == len(text) || text[end+1] == ' ') {
			return true
		}
		from += i + 1
	}
}
