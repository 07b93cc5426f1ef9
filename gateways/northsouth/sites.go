// SPDX-License-Identifier: Apache-2.0

package northsouth

import (
	"cmp"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// site is a domain of a route configuration.
type site struct {
	domain string
	// own are the listeners that have this very host, the oldest first.
	own []attached
	// redirect plain requests to https.
	redirect bool
	// misdirected: another listener has this host, whose certificate and
	// policies the client has not met (RFC 9110, section 15.5.20).
	misdirected bool
	of          []placement
}

// placement of a routing on a site.
type placement struct {
	at      attached
	routing *model.Routing
	// host of the routing by which it got there.
	host string
}

// sites of the listeners that share a route configuration. others are further
// listeners of the port, which requests may have been meant for.
func (t *translation) sites(of, others []attached) []*site {
	b := siteBuilder{of: of, sites: map[string]*site{}}
	for _, a := range of {
		routings := t.routingsAt(a)
		for _, h := range a.hosts() {
			if !usable(h.Host) {
				t.report(a.problem(".hosts", "InvalidHost", "host %q is neither a name nor *. and a name; correct it", h.Host))
				continue
			}
			b.site(h.Host).own = append(b.site(h.Host).own, a)
			b.place(a, h, routings)
		}
	}
	b.fallThrough()
	b.redirects(t.report)
	b.misdirect(others)
	slices.SortFunc(b.order, func(x, y *site) int {
		return cmp.Or(-cmp.Compare(specificity(x.domain), specificity(y.domain)), cmp.Compare(x.domain, y.domain))
	})
	return b.order
}

type siteBuilder struct {
	of    []attached
	sites map[string]*site
	order []*site
}

func (b *siteBuilder) site(domain string) *site {
	s := b.sites[domain]
	if s == nil {
		s = &site{domain: domain}
		b.sites[domain] = s
		b.order = append(b.order, s)
	}
	return s
}

// place routings where their hosts and a listener's have names in common.
func (b *siteBuilder) place(a attached, h model.ListenerHost, routings []*model.Routing) {
	for _, r := range routings {
		if len(r.HTTP) == 0 || h.Namespace != "" && h.Namespace != r.Namespace {
			continue
		}
		for _, host := range r.Hosts {
			domain, ok := intersect(h.Host, host)
			if !ok || !usable(domain) || b.isolated(a, h.Host, domain) {
				continue
			}
			s := b.site(domain)
			p := placement{at: a, routing: r, host: host}
			if !slices.ContainsFunc(s.of, func(q placement) bool { return q.routing == r && q.at == a }) {
				s.of = append(s.of, p)
			}
		}
	}
}

// isolated is true when another listener of the Gateway API has a host that is
// nearer to a domain than the host by which this listener would have it:
// requests belong to one listener only.
func (b *siteBuilder) isolated(a attached, host, domain string) bool {
	if !a.gateway.API {
		return false
	}
	return slices.ContainsFunc(b.of, func(o attached) bool {
		return o != a && o.gateway.API && slices.ContainsFunc(o.hosts(), func(h model.ListenerHost) bool {
			return covers(h.Host, domain) && specificity(h.Host) > specificity(host)
		})
	})
}

// fallThrough gives a site the Gateway API's routings of wider domains too,
// after its own: of two that fit a request the narrower host goes first, and
// when none of its rules match, the wider one's are asked.
func (b *siteBuilder) fallThrough() {
	own := make([][]placement, len(b.order))
	for i, s := range b.order {
		own[i] = s.of
	}
	for _, s := range b.order {
		for j, wider := range b.order {
			if wider == s || len(own[j]) == 0 || !strings.HasPrefix(wider.domain, "*") || !covers(wider.domain, s.domain) {
				continue
			}
			for _, p := range own[j] {
				if !p.routing.BySpecificity || slices.ContainsFunc(s.of, func(q placement) bool { return q.routing == p.routing && q.at == p.at }) {
					continue
				}
				if host, ok := nearest(p.at, s.domain); ok && !b.isolated(p.at, host, s.domain) {
					s.of = append(s.of, p)
				}
			}
		}
	}
	for _, s := range b.order {
		slices.SortStableFunc(s.of, func(p, q placement) int { return -cmp.Compare(specificity(p.host), specificity(q.host)) })
	}
}

// manyHosts of other listeners are not listed one by one in every listener's
// routes, which would grow with the square of their number.
const manyHosts = 64

// misdirect sends away requests for hosts that are other listeners'.
func (b *siteBuilder) misdirect(others []attached) {
	own := slices.Clone(b.order)
	var foreign []string
	for _, a := range others {
		for _, h := range a.hosts() {
			if !usable(h.Host) || b.sites[h.Host] != nil {
				continue
			}
			if slices.ContainsFunc(own, func(s *site) bool { return covers(s.domain, h.Host) }) {
				b.site(h.Host).misdirected = true
			} else {
				foreign = append(foreign, h.Host)
			}
		}
	}
	if len(foreign) > manyHosts {
		foreign = []string{"*"}
	}
	for _, host := range foreign {
		if b.sites[host] == nil {
			b.site(host).misdirected = true
		}
	}
}

// nearest host of a listener that covers a domain.
func nearest(a attached, domain string) (string, bool) {
	best, found := "", false
	for _, h := range a.hosts() {
		if covers(h.Host, domain) && (!found || specificity(h.Host) > specificity(best)) {
			best, found = h.Host, true
		}
	}
	return best, found
}

// redirects hold for all narrower domains of the listener that wants them. Of two
// listeners with one host the one that wants them has its way, as in Istio: to
// leave it out would send in the open what somebody wants to be safe.
func (b *siteBuilder) redirects(report func(...model.Problem)) {
	for _, s := range b.order {
		wants := func(a attached) bool { return a.listener.RedirectHTTPS }
		s.redirect = slices.ContainsFunc(s.own, wants) || slices.ContainsFunc(s.of, func(p placement) bool { return wants(p.at) })
		i := slices.IndexFunc(s.own, wants)
		if i < 0 {
			continue
		}
		by := s.own[i].gateway
		for _, a := range s.own {
			if !wants(a) && a.gateway != by {
				report(a.problem(".tls.httpsRedirect", "Conflict",
					"requests for host %q on this port are sent to https, as gateway %s/%s wants it for the same host; set httpsRedirect in both or in neither, or use another host",
					s.domain, by.Namespace, by.Name))
			}
		}
	}
}
