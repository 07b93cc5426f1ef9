// SPDX-License-Identifier: Apache-2.0

package model

// Barred is the routing with its own matches, which lead nowhere: requests get
// 500, connections are closed. why stands in it for people.
func (r *Routing) Barred(why string) *Routing {
	out := *r
	out.HTTP, out.TLS = nil, nil
	for _, rule := range r.HTTP {
		out.HTTP = append(out.HTTP, rule.Barred(why))
	}
	for _, rule := range r.TLS {
		out.TLS = append(out.TLS, TLSRule{Name: rule.Name, Matches: rule.Matches, Destinations: nowhere(why)})
	}
	out.TCP, out.UDP = barredTCP(r.TCP, why), barredTCP(r.UDP, why)
	return &out
}

// Barred is the rule with its own matches, whose requests get 500.
func (r HTTPRule) Barred(why string) HTTPRule {
	return HTTPRule{Name: r.Name, Matches: r.Matches, Invalid: why, Delegate: r.Delegate}
}

func barredTCP(rules []TCPRule, why string) (out []TCPRule) {
	for _, rule := range rules {
		out = append(out, TCPRule{Name: rule.Name, Matches: rule.Matches, Destinations: nowhere(why)})
	}
	return out
}

// nowhere is a destination that is not followed.
func nowhere(why string) []Destination { return []Destination{{Invalid: why}} }
