// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/isthmesh/isthmesh/controlplane/informers"
	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
	"github.com/isthmesh/isthmesh/controlplane/policy/verdict"
)

// newExperimentalCommand holds what may still change its form.
func newExperimentalCommand(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	x := &cobra.Command{Use: "x", Aliases: []string{"experimental"}, Short: "Commands that may still change their form"}
	authz := &cobra.Command{Use: "authz", Short: "Look at authorization"}
	authz.AddCommand(newAuthzCheckCommand(streams, access))
	x.AddCommand(authz)
	return x
}

type authzOptions struct {
	source translateOptions
	root   string
	// What is known of the call; port 0 asks for none.
	port       uint16
	from, ip   string
	host, path string
	method     string
	headers    []string
	claims     []string
	badToken   bool
}

func newAuthzCheckCommand(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	var o authzOptions
	cmd := &cobra.Command{
		Use:   "check [NAMESPACE/]POD",
		Short: "Show which policies apply to a pod, and what they decide on a call",
		Long: `Show which AuthorizationPolicies and RequestAuthentications apply to a pod, and,
with --port, what they decide on a call. It is the control plane's own code, fed
from files (-f) or from the cluster. What an external authorizer would say isn't known.`,
		Example: `  # the policies of a pod
  isthmesh x authz check shop/reviews-6d9f
  # may productpage of member west get /ratings?
  isthmesh x authz check shop/reviews-6d9f --port 8080 --from west.shop.example/ns/shop/sa/productpage --path /ratings
  # from files
  isthmesh x authz check shop/reviews-6d9f -f objects.yaml --port 8080 --header x-role=admin --claim iss=https://issuer --claim sub=alice`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := o.input(cmd.Context(), cmd.InOrStdin(), access)
			if err != nil {
				return err
			}
			namespace := "default"
			if access.Namespace != nil && *access.Namespace != "" {
				namespace = *access.Namespace
			}
			return o.run(streams.Out, in, namespace, args[0])
		},
	}
	f := cmd.Flags()
	f.StringSliceVarP(&o.source.files, "filename", "f", nil, "files of Kubernetes objects instead of the cluster's, - for the standard input")
	f.StringVar(&o.source.settings.TrustDomain, "trust-domain", "", "SPIFFE trust domain of the cluster's identities; the mesh configuration's when empty")
	f.StringVar(&o.root, "istio-namespace", "istio-system", "namespace of the control plane")
	f.Uint16Var(&o.port, "port", 0, "port of the pod that is called")
	f.StringVar(&o.from, "from", "", "the caller's identity: <trust domain>/ns/<namespace>/sa/<service account>; without it the call is in plaintext")
	f.StringVar(&o.ip, "source-ip", "", "the caller's address")
	f.StringVar(&o.host, "host", "", "host that is asked for")
	f.StringVar(&o.method, "method", "GET", "method of the request")
	f.StringVar(&o.path, "path", "/", "path of the request")
	f.StringArrayVar(&o.headers, "header", nil, "name=value of a header")
	f.StringArrayVar(&o.claims, "claim", nil, "name=value of a claim of the request's token, which is taken as valid")
	f.BoolVar(&o.badToken, "bad-token", false, "the request has a token that isn't valid")
	return cmd
}

// input of a mesh, from files or from the cluster.
func (o *authzOptions) input(ctx context.Context, stdin io.Reader, access *genericclioptions.ConfigFlags) (ingest.Input, error) {
	o.source.settings.RootNamespace = o.root
	if len(o.source.files) > 0 {
		objects, err := o.source.read(stdin)
		if err != nil {
			return ingest.Input{}, err
		}
		objects.Settings = o.source.settings
		return objects.Input, nil
	}
	cfg, err := access.ToRESTConfig()
	if err != nil {
		return ingest.Input{}, fmt.Errorf("read the kubeconfig: %w", err)
	}
	clients, err := informers.NewClients(cfg)
	if err != nil {
		return ingest.Input{}, err
	}
	set, err := informers.New(clients, o.root, "")
	if err != nil {
		return ingest.Input{}, err
	}
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { set.Run(ctx); close(done) }()
	defer func() { stop(); <-done }()
	if err := set.WaitSynced(ctx); err != nil {
		return ingest.Input{}, fmt.Errorf("read the cluster: %w", err)
	}
	in := set.Objects()
	in.Settings = o.source.settings
	return in, nil
}

func (o *authzOptions) run(out io.Writer, in ingest.Input, namespace, pod string) error {
	if ns, name, ok := strings.Cut(pod, "/"); ok {
		namespace, pod = ns, name
	}
	mesh := ingest.Build(in, nil).Mesh
	w := mesh.Workload(namespace, pod)
	if w == nil {
		return fmt.Errorf("there is no pod %s/%s that runs", namespace, pod)
	}
	chosen := policy.Choose(mesh, policy.Guarded{Namespace: w.Namespace, Labels: w.Labels}, nil)
	listPolicies(out, chosen, mesh.Problems)
	if !strict(w) && slices.ContainsFunc(chosen.Authorizations, asksIdentity) {
		fmt.Fprintln(out, "a policy asks who the caller is, and the pod takes calls in plaintext too, whose callers are nobody; PeerAuthentication STRICT ends that")
	}
	if o.port == 0 {
		return nil
	}
	v, err := o.judge(mesh.Settings, w, chosen)
	if err != nil {
		return err
	}
	fmt.Fprintln(out)
	printVerdict(out, v)
	return nil
}

var actions = map[model.AuthorizationAction]string{model.Allow: "ALLOW", model.Deny: "DENY", model.Audit: "AUDIT", model.Custom: "CUSTOM"}

// listPolicies in the order in which they are asked, with what is wrong with them.
func listPolicies(out io.Writer, c *policy.Chosen, problems []model.Problem) {
	if c.Empty() {
		fmt.Fprintln(out, "no policy applies: every call is allowed")
		return
	}
	line := func(action string, o model.Origin, note string) {
		fmt.Fprintf(out, "%-6s  %s/%s%s\n", action, o.Namespace, o.Name, note)
		for _, p := range problems {
			if p.Kind == o.Kind && p.Namespace == o.Namespace && p.Name == o.Name {
				fmt.Fprintf(out, "        %s: %s\n", p.Field, p.Message)
			}
		}
	}
	for _, a := range c.Authentications {
		line("TOKEN", a.Origin, "")
	}
	for _, action := range []model.AuthorizationAction{model.Custom, model.Audit, model.Deny, model.Allow} {
		for _, a := range c.Authorizations {
			if a.Action != action {
				continue
			}
			note := ""
			switch {
			case a.Invalid != "":
				note = "  (can't be had, so it denies)"
			case a.DryRun:
				note = "  (dry run)"
			case a.Provider != "":
				note = "  (asks " + a.Provider + ")"
			}
			line(actions[action], a.Origin, note)
		}
	}
}

// strict is true when every port takes mutual TLS only.
func strict(w *model.Workload) bool {
	return w.MTLS == model.Strict && !slices.ContainsFunc(w.PortMTLS, func(p model.PortMTLS) bool { return p.Mode != model.Strict })
}

// asksIdentity is true when a policy looks at the caller's certificate.
func asksIdentity(a *model.Authorization) bool {
	return slices.ContainsFunc(a.Rules, func(r model.AuthorizationRule) bool {
		return slices.ContainsFunc(r.From, func(s model.Source) bool {
			return !s.Principals.Empty() || !s.Namespaces.Empty() || !s.ServiceAccounts.Empty() || !s.TrustDomains.Empty()
		}) || slices.ContainsFunc(r.When, func(c model.Condition) bool {
			return slices.Contains([]string{"source.principal", "source.namespace", "source.serviceAccount", "source.trustDomain"}, c.Key)
		})
	})
}

// judge the call that the flags describe.
func (o *authzOptions) judge(s *model.Settings, w *model.Workload, c *policy.Chosen) (verdict.Verdict, error) {
	call := verdict.Call{Host: o.host, Method: o.method, Path: o.path, Headers: map[string][]string{}, BadToken: o.badToken}
	if o.from != "" {
		call.Peer = "spiffe://" + strings.TrimPrefix(o.from, "spiffe://")
	}
	if o.ip != "" {
		a, err := netip.ParseAddr(o.ip)
		if err != nil {
			return verdict.Verdict{}, fmt.Errorf("--source-ip %q is no address", o.ip)
		}
		call.Source = a
	}
	if len(w.Addresses) > 0 {
		call.Destination = netip.AddrPortFrom(w.Addresses[0], o.port)
	}
	for _, h := range o.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok {
			return verdict.Verdict{}, fmt.Errorf("--header %q is not name=value", h)
		}
		name = strings.ToLower(name)
		call.Headers[name] = append(call.Headers[name], value)
	}
	for _, claim := range o.claims {
		name, value, ok := strings.Cut(claim, "=")
		if !ok {
			return verdict.Verdict{}, fmt.Errorf("--claim %q is not name=value", claim)
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
	switch mode := w.MTLSOn(o.port); {
	case mode == model.Strict && call.Peer == "":
		return verdict.Verdict{Why: "PeerAuthentication STRICT takes mutual TLS only"}, nil
	case mode == model.Disable && call.Peer != "":
		return verdict.Verdict{}, errors.New("PeerAuthentication DISABLE: the port takes no mutual TLS, so the caller's identity isn't known there; leave out --from")
	}
	i := slices.IndexFunc(w.Inbound, func(p model.InboundPort) bool { return p.Port == o.port })
	if i >= 0 && !w.Inbound[i].Protocol.IsHTTP() && w.Inbound[i].Protocol != model.Auto {
		return verdict.TCP(policy.TCP(s, c), call), nil
	}
	return verdict.HTTP(policy.HTTP(s, c), call), nil
}

func printVerdict(out io.Writer, v verdict.Verdict) {
	word := "DENIED"
	switch {
	case v.Allowed && len(v.Asks) > 0:
		word = "ALLOWED if the authorizers agree"
	case v.Allowed:
		word = "ALLOWED"
	}
	fmt.Fprintf(out, "%s: %s\n", word, v.Why)
	for _, group := range []struct {
		what string
		list []string
	}{{"asks", v.Asks}, {"audited by", v.Audits}, {"dry run of", v.DryRuns}} {
		for _, entry := range group.list {
			fmt.Fprintf(out, "%s %s\n", group.what, entry)
		}
	}
}
