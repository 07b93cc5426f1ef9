// SPDX-License-Identifier: Apache-2.0

package compared

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/test/simulate"
)

// Told is what a proxy is told.
type Told struct {
	*envoy.View
	// Names are what the agent beside it answers to its pod; nil where it leaves
	// that to the cluster's name server.
	Names func(host string) (netip.Addr, bool)
}

// Views gives what a pod's proxy is told; gateway says which kind of proxy it is.
type Views func(namespace, name string, gateway bool) (Told, error)

// Run asks all calls of a case and writes them down with their answers.
//
//	call FROM TO:PORT [host= path= method= scheme= payload= sni= alpn= pick= header.NAME=]
//	receive AT PORT [... peer=NAMESPACE/ACCOUNT]
//	enter AT PORT [...]
//	call FROM TO:PORT ... retries (asks for the whole of the retries' words)
//
// FROM and AT are pods; TO is a name that a pod's resolver knows, or an address.
func Run(c *Case, views Views) (string, error) {
	var out strings.Builder
	for _, q := range c.Calls {
		answer, err := ask(c, views, q)
		if err != nil {
			return "", fmt.Errorf("%s: %s: %w", c, q, err)
		}
		out.WriteString(q + "\n")
		for line := range strings.Lines(answer) {
			out.WriteString("\t" + line)
		}
	}
	return out.String(), nil
}

func ask(c *Case, views Views, question string) (string, error) {
	words := strings.Fields(question)
	if len(words) < 3 {
		return "", fmt.Errorf("it says too little")
	}
	rest := slices.Clone(words[3:])
	raw := slices.Contains(rest, "retries")
	call, err := callOf(slices.DeleteFunc(rest, func(w string) bool { return w == "retries" }))
	if err != nil {
		return "", err
	}
	namespace, name, _ := strings.Cut(words[1], "/")
	told, err := views(namespace, name, words[0] == "enter")
	if err != nil {
		return "", err
	}
	switch words[0] {
	case "call":
		if call.To, err = resolve(c.Cluster, namespace, words[2]); err != nil {
			return "", err
		}
		if host, _, ok := strings.Cut(words[2], ":"); ok && told.Names != nil {
			if a, ok := told.Names(host); ok {
				call.To = netip.AddrPortFrom(a, call.To.Port())
			}
		}
		if call.Host == "" {
			call.Host = strings.TrimSuffix(words[2], ":80")
		}
		return answer(simulate.Outbound(told.View, call), raw), nil
	case "receive":
		address, err := resolve(c.Cluster, namespace, name+":"+words[2])
		if err != nil {
			return "", err
		}
		call.To = address
		return answer(simulate.Inbound(told.View, call), raw), nil
	case "enter":
		port, err := strconv.ParseUint(words[2], 10, 16)
		if err != nil {
			return "", err
		}
		return answer(simulate.Ingress(told.View, uint16(port), call), raw), nil
	}
	return "", fmt.Errorf("nothing is known about %q", words[0])
}

func callOf(words []string) (simulate.Call, error) {
	c := simulate.Call{Payload: simulate.HTTP1, Headers: map[string]string{}}
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		var err error
		switch k {
		case "host":
			c.Host = v
		case "path":
			c.Path = v
		case "method":
			c.Method = v
		case "scheme":
			c.Scheme = v
		case "payload":
			c.Payload = simulate.Payload(v)
		case "sni":
			c.ServerName, c.Payload = v, simulate.TLS
		case "alpn":
			c.ALPN, c.Payload = strings.Split(v, ","), simulate.TLS
		case "peer":
			namespace, account, _ := strings.Cut(v, "/")
			c.Peer = fmt.Sprintf("spiffe://cluster.local/ns/%s/sa/%s", namespace, account)
		case "from":
			c.From, err = netip.ParseAddr(v)
		case "pick":
			c.Pick, err = strconv.Atoi(v)
		default:
			name, ok := strings.CutPrefix(k, "header.")
			if !ok {
				return c, fmt.Errorf("nothing is known about %q", w)
			}
			c.Headers[name] = v
		}
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

// outside is where names lead that the cluster's resolver doesn't know.
const outside = "198.51.100.1"

// resolve a name as a pod's resolver does, by the lines of a cluster.
func resolve(cluster, namespace, to string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddrPort(to); err == nil {
		return a, nil
	}
	host, port, _ := strings.Cut(to, ":")
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	address, err := netip.ParseAddr(addressOf(cluster, namespace, strings.ToLower(host)))
	return netip.AddrPortFrom(address, uint16(n)), err
}

func addressOf(cluster, namespace, host string) string {
	var selector []string
	for line := range strings.Lines(cluster) {
		words := strings.Fields(line)
		if len(words) < 3 {
			continue
		}
		in, name, _ := strings.Cut(words[1], "/")
		known := []string{name + "." + in, name + "." + in + ".svc", name + "." + in + ".svc.cluster.local"}
		if in == namespace {
			known = append(known, name)
		}
		if words[0] == "pod" && in == namespace && name == host {
			first, _, _ := strings.Cut(words[2], ",")
			return first
		}
		if words[0] != "service" || !slices.Contains(known, host) {
			continue
		}
		for _, w := range words[2:] {
			k, v, _ := strings.Cut(w, "=")
			first, _, _ := strings.Cut(v, ",")
			switch k {
			case "vip":
				return first
			case "external":
				return addressOf(cluster, namespace, v)
			case "selector":
				selector = strings.Split(v, ",")
			}
		}
		return firstPod(cluster, in, selector)
	}
	return outside
}

// firstPod of a headless service.
func firstPod(cluster, namespace string, selector []string) string {
	for line := range strings.Lines(cluster) {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "pod" || !strings.HasPrefix(words[1], namespace+"/") {
			continue
		}
		if p, err := podOf(words[1:]); err == nil && p.has(selector) {
			return p.addresses[0]
		}
	}
	return outside
}
