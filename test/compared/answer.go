// SPDX-License-Identifier: Apache-2.0

package compared

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/isthmesh/isthmesh/test/simulate"
)

var status = regexp.MustCompile(`^\d{3}\b`)

// answer says what users see of a result: nothing of how a control plane names
// its listeners, chains, rules and secrets. A raw answer is what is said of retries,
// word for word.
func answer(r simulate.Result, raw bool) string {
	if raw {
		return r.Tries + "\n"
	}
	var b strings.Builder
	field := func(name string, values ...string) {
		if value := strings.Join(values, " "); strings.TrimSpace(value) != "" {
			fmt.Fprintf(&b, "%s %s\n", name, strings.TrimSpace(value))
		}
	}
	field("shows", shown(r)...)
	if r.Refused != "" {
		field("refused", refusal(r))
		if r.Location == "" && r.Status == 0 {
			return b.String()
		}
		for _, c := range sorted(r.Changes) {
			field("header", c)
		}
		return b.String()
	}
	if len(r.Clusters) > 0 {
		for _, w := range shares(r.Clusters) {
			field("share", w)
		}
	} else {
		field("to", cluster(r.Cluster))
	}
	field("at", endpoints(r)...)
	field("tls", security(r)...)
	if r.Requests {
		request(r, field)
	}
	return b.String()
}

func request(r simulate.Result, field func(string, ...string)) {
	field("path", r.Path)
	field("authority", r.Authority)
	if r.Timeout != 0 {
		field("timeout", r.Timeout.String())
	}
	if r.PerTry != 0 {
		field("each try", r.PerTry.String())
	}
	field("retries", retries(r.Tries))
	field("delay", happens(r.Delay))
	field("abort", happens(r.Abort))
	field("cors", r.CORS)
	for _, m := range sorted(r.Mirrors) {
		field("mirror", m)
	}
	for _, h := range sorted(r.Hash) {
		field("hash", h)
	}
	for _, c := range sorted(r.Changes) {
		field("header", c)
	}
}

// The retries of a mesh that says nothing: ours, and Istio's.
var usual = []string{
	"5 on connect-failure,refused-stream,unavailable,cancelled,retriable-headers other hosts",
	"2 on connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes other hosts",
}

// retries without the conditions that each control plane adds to every list, and
// which do nothing by themselves.
func retries(tries string) string {
	if slices.Contains(usual, tries) {
		return "of the mesh"
	}
	attempts, on, ok := strings.Cut(tries, " on ")
	if !ok {
		return tries
	}
	on, rest, _ := strings.Cut(on, " ")
	var conditions []string
	for c := range strings.SplitSeq(on, ",") {
		if c != "" && c != "retriable-headers" && (c != "retriable-status-codes" || strings.Contains(rest, "[")) {
			conditions = append(conditions, c)
		}
	}
	return strings.TrimSpace(attempts + " on " + strings.Join(sorted(conditions), ",") + " " + rest)
}

// happens is a fault, unless nobody has it.
func happens(fault string) string {
	if strings.HasSuffix(fault, " 0%") {
		return ""
	}
	return fault
}

// refusal in the words that users have for it: a status, or a closed connection.
func refusal(r simulate.Result) string {
	code := status.FindString(r.Refused)
	switch {
	case r.Location != "":
		return fmt.Sprint(r.Status, " to ", r.Location)
	case r.Body != "":
		return fmt.Sprint(r.Status, " saying ", r.Body)
	case !r.Requests || strings.HasPrefix(r.Refused, "closed"):
		return "closed"
	case code != "":
		return code
	case strings.HasPrefix(r.Refused, "there is no Cluster "):
		return "503"
	}
	return r.Refused
}

// cluster without what only its control plane knows.
func cluster(name string) string {
	if strings.HasPrefix(name, "inbound|") {
		return "inbound " + strings.Split(name, "|")[1]
	}
	return name
}

func shares(clusters []simulate.Weighted) []string {
	var total uint32
	for _, c := range clusters {
		total += c.Weight
	}
	var out []string
	for _, c := range clusters {
		if c.Weight == 0 {
			continue
		}
		line := fmt.Sprintf("%.1f%% %s %s", 100*float64(c.Weight)/float64(total), cluster(c.Cluster), c.Authority)
		for _, change := range sorted(c.Changes) {
			line += "; " + change
		}
		out = append(out, line)
	}
	return sorted(out)
}

func endpoints(r simulate.Result) []string {
	if r.OriginalDst {
		return []string{"where it was meant to"}
	}
	var out []string
	for _, e := range r.Endpoints {
		address := e.Address
		if e.Weight > 1 {
			address += fmt.Sprint(" weight ", e.Weight)
		}
		out = append(out, address)
	}
	return slices.Compact(sorted(out))
}

// security of the connection to the endpoints, each kind once.
func security(r simulate.Result) []string {
	var out []string
	for _, e := range r.Endpoints {
		line := "none"
		if e.TLS {
			line = strings.Join(slices.Concat([]string{kind(e), e.SNI}, sorted(e.Identities)), " ")
		}
		out = append(out, line)
	}
	return []string{strings.Join(slices.Compact(sorted(out)), ", ")}
}

func kind(e simulate.Endpoint) string {
	switch {
	case slices.Contains(e.Secrets, "default"):
		return "mesh"
	case len(e.Secrets) > 1:
		return "mutual"
	}
	return "simple"
}

// shown certificates of a gateway; every inbound port shows the workload's.
func shown(r simulate.Result) []string {
	var out []string
	for _, s := range r.Shown {
		if s != "default" {
			out = append(out, path.Base(s))
		}
	}
	if len(out) > 0 && r.Demanded {
		out = append(out, "and wants one")
	}
	return out
}

func sorted[T cmp.Ordered](list []T) []T { return slices.Sorted(slices.Values(list)) }
