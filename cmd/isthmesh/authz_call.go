// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
	"github.com/isthmesh/isthmesh/controlplane/policy/verdict"
)

// callFlags describe a call; port 0 asks for none.
type callFlags struct {
	port         uint16
	from         string
	ip, remoteIP string
	sni          string
	host, path   string
	method       string
	headers      []string
	claims       []string
	badToken     bool
}

func (c *callFlags) add(f *pflag.FlagSet) {
	f.Uint16Var(&c.port, "port", 0, "port of the pod that is called")
	f.StringVar(&c.from, "from", "", "the caller's identity: <trust domain>/ns/<namespace>/sa/<service account>; without it the call is in plaintext")
	f.StringVar(&c.ip, "source-ip", "", "the caller's address")
	f.StringVar(&c.remoteIP, "remote-ip", "", "the first client's address, as trusted proxies tell it; --source-ip when empty")
	f.StringVar(&c.sni, "sni", "", "server name that the caller's TLS asks for")
	f.StringVar(&c.host, "host", "", "host that is asked for")
	f.StringVar(&c.method, "method", "GET", "method of the request")
	f.StringVar(&c.path, "path", "/", "path of the request, as it is once it was normalised")
	f.StringArrayVar(&c.headers, "header", nil, "name=value of a header; several times for several")
	f.StringArrayVar(&c.claims, "claim", nil, "name=value of a claim of the request's token, which is taken as valid; several times for lists")
	f.BoolVar(&c.badToken, "bad-token", false, "the request has a token that isn't valid")
}

// judge the call that the flags describe.
func (c *callFlags) judge(s *model.Settings, w *model.Workload, chosen *policy.Chosen, r *authzReport) error {
	call, err := c.read()
	if err != nil {
		return err
	}
	if len(w.Addresses) > 0 {
		call.Destination = netip.AddrPortFrom(w.Addresses[0], c.port)
	}
	http, service := true, ""
	if i := slices.IndexFunc(w.Inbound, func(p model.InboundPort) bool { return p.Port == c.port }); i >= 0 {
		http = w.Inbound[i].Protocol.IsHTTP() || w.Inbound[i].Protocol == model.Auto
		service = string(w.Inbound[i].Service)
	} else {
		r.note(fmt.Sprintf("no Service leads to port %d of the pod; it is judged as HTTP, which is what the proxy does with it if it is", c.port))
	}
	r.Call = &callReport{Call: c.describe(http, service)}
	if http && dubious(c.path) {
		r.note("the proxy normalises paths before policies look at them (meshConfig.pathNormalization); give --path as it is then")
	}
	if iss, ok := call.Claims["iss"].(string); !ok && call.Claims != nil || ok && !issued(chosen, iss) {
		switch {
		case len(chosen.Authentications) == 0:
			r.note("no RequestAuthentication applies, so nobody reads the token")
			call.Claims = nil
		default:
			r.note(fmt.Sprintf("no RequestAuthentication takes tokens of issuer %q; name one with --claim iss=", iss))
			call.BadToken = true
		}
	}
	switch mode := w.MTLSOn(c.port); {
	case mode == model.Strict && call.Peer == "":
		r.Call.decided(verdict.Verdict{Why: "PeerAuthentication STRICT takes mutual TLS only"})
		return nil
	case mode == model.Disable && call.Peer != "":
		return errors.New("PeerAuthentication DISABLE: the port takes no mutual TLS, so the caller's identity isn't known there; leave out --from")
	}
	if http {
		r.Call.decided(verdict.HTTP(policy.HTTP(s, chosen), call))
	} else {
		r.Call.decided(verdict.TCP(policy.TCP(s, chosen), call))
	}
	return nil
}

// read the flags.
func (c *callFlags) read() (verdict.Call, error) {
	call := verdict.Call{Host: c.host, Method: c.method, Path: c.path, Headers: map[string][]string{}, BadToken: c.badToken, ServerName: c.sni}
	if c.from != "" {
		id := strings.TrimPrefix(c.from, "spiffe://")
		if p := strings.Split(id, "/"); len(p) != 5 || p[1] != "ns" || p[3] != "sa" {
			return call, fmt.Errorf("--from %q is no identity; write <trust domain>/ns/<namespace>/sa/<service account>", c.from)
		}
		call.Peer = "spiffe://" + id
	}
	for _, a := range []struct {
		flag, text string
		into       *netip.Addr
	}{{"--source-ip", c.ip, &call.Source}, {"--remote-ip", c.remoteIP, &call.Remote}} {
		if a.text == "" {
			continue
		}
		ip, err := netip.ParseAddr(a.text)
		if err != nil {
			return call, fmt.Errorf("%s %q is no address", a.flag, a.text)
		}
		*a.into = ip
	}
	for _, h := range c.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok {
			return call, fmt.Errorf("--header %q is not name=value", h)
		}
		name = strings.ToLower(name)
		call.Headers[name] = append(call.Headers[name], value)
	}
	for _, claim := range c.claims {
		name, value, ok := strings.Cut(claim, "=")
		if !ok {
			return call, fmt.Errorf("--claim %q is not name=value", claim)
		}
		if call.Claims == nil {
			call.Claims = map[string]any{}
		}
		switch had := call.Claims[name].(type) {
		case nil:
			call.Claims[name] = value
		case string:
			call.Claims[name] = []any{had, value}
		case []any:
			call.Claims[name] = append(had, value)
		}
	}
	return call, nil
}

// describe the call in one line.
func (c *callFlags) describe(http bool, service string) string {
	text := fmt.Sprintf("connection to port %d", c.port)
	if http {
		text = fmt.Sprintf("%s %s to port %d", c.method, c.path, c.port)
	}
	if service != "" {
		text += " (" + service + ")"
	}
	if http && c.host != "" {
		text += " as " + c.host
	}
	if c.from != "" {
		text += " from " + c.from
	} else {
		text += " in plaintext"
	}
	if c.ip != "" {
		text += " at " + c.ip
	}
	return text
}

// dubious is true for paths that normalisation may change.
func dubious(path string) bool {
	path, _, _ = strings.Cut(path, "?")
	return strings.Contains(path, "//") || strings.ContainsAny(path, `%\`) ||
		slices.ContainsFunc(strings.Split(path, "/"), func(s string) bool { return s == "." || s == ".." })
}

// issued is true when a RequestAuthentication takes tokens of an issuer.
func issued(c *policy.Chosen, issuer string) bool {
	return slices.ContainsFunc(c.Authentications, func(a *model.RequestAuthentication) bool {
		return slices.ContainsFunc(a.Rules, func(r model.JWTRule) bool { return r.Issuer == issuer })
	})
}
