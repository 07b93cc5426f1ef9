// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
)

// newExperimentalCommand holds what may still change its form.
func newExperimentalCommand(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	x := &cobra.Command{Use: "x", Aliases: []string{"experimental"}, Short: "Commands that may still change their form"}
	authz := &cobra.Command{Use: "authz", Short: "Look at authorization"}
	authz.AddCommand(newAuthzCheckCommand(streams, access))
	x.AddCommand(authz, newWorkloadCommand(streams, access))
	return x
}

type authzOptions struct {
	files       []string
	output      string
	trustDomain string
	cluster     clusterOptions
	call        callFlags
}

func newAuthzCheckCommand(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	var o authzOptions
	cmd := &cobra.Command{
		Use:   "check [NAMESPACE/]POD",
		Short: "Show which policies apply to a pod, and what they decide on a call",
		Long: `Show which AuthorizationPolicies and RequestAuthentications apply to a pod, and,
with --port, what they decide on a call. It is the control plane's own code, fed
from the cluster that kubectl would ask, with your rights, or from files (-f).
What an external authorizer would say isn't known.`,
		Example: `  # the policies of a pod
  isthmesh x authz check shop/reviews-6d9f
  # may productpage of member west get /ratings?
  isthmesh x authz check shop/reviews-6d9f --port 8080 --from west.shop.example/ns/shop/sa/productpage --path /ratings
  # from files, for a request with a token
  isthmesh x authz check shop/reviews-6d9f -f objects.yaml --port 8080 --header x-role=admin --claim iss=https://issuer --claim sub=alice`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFormat(o.output); err != nil {
				return err
			}
			state, err := meshInput(cmd.Context(), o.files, cmd.InOrStdin(), o.cluster, access)
			if err != nil {
				return err
			}
			report, err := o.check(state, namespaceOf(access), args[0])
			if err != nil {
				return err
			}
			return report.print(streams.Out, o.output)
		},
	}
	f := cmd.Flags()
	f.StringSliceVarP(&o.files, "filename", "f", nil, "files of Kubernetes objects instead of the cluster's, - for the standard input")
	f.StringVarP(&o.output, "output", "o", "text", "text or json")
	f.StringVar(&o.trustDomain, "trust-domain", "", "SPIFFE trust domain of the cluster's identities; the mesh configuration's when empty")
	f.StringVar(&o.cluster.root, "istio-namespace", "istio-system", "namespace of the control plane")
	f.StringVar(&o.cluster.revision, "revision", "", "revision of the control plane")
	f.DurationVar(&o.cluster.timeout, "wait", 30*time.Second, "how long reading the cluster may take")
	o.call.add(f)
	return cmd
}

// decisive are the resources without which nothing can be said of a call.
var decisive = []string{
	"authorizationpolicies.security.istio.io", "configmaps", "customresourcedefinitions", "endpointslices", "namespaces",
	"peerauthentications.security.istio.io", "pods", "requestauthentications.security.istio.io", "services",
}

// check a pod: which policies apply, and what they decide on the call.
func (o *authzOptions) check(state clusterState, namespace, pod string) (*authzReport, error) {
	needed := func(r string) bool { return slices.Contains(decisive, r) }
	if slices.ContainsFunc(state.denied, needed) {
		return nil, deniedError(slices.DeleteFunc(state.denied, func(r string) bool { return !needed(r) }), o.cluster.root)
	}
	if ns, name, ok := strings.Cut(pod, "/"); ok {
		namespace, pod = ns, name
	}
	in := state.input
	in.Settings = model.Settings{RootNamespace: o.cluster.root, TrustDomain: o.trustDomain}
	mesh := ingest.Build(in, nil).Mesh
	w := mesh.Workload(namespace, pod)
	if w == nil {
		return nil, noPod(mesh, namespace, pod)
	}
	chosen := policy.Choose(mesh, guarded(mesh, w), nil)
	r := &authzReport{Pod: w.Namespace + "/" + w.Name, Identity: w.Identity, MutualTLS: modes(w)}
	r.policies(mesh, chosen)
	if !w.Meshed && guarded(mesh, w).Gateway == "" {
		r.note("the pod has no sidecar, so nothing enforces policies there")
	}
	if !strict(w) && slices.ContainsFunc(chosen.Authorizations, asksIdentity) {
		r.note("a policy asks who the caller is, and the pod takes calls in plaintext too, whose callers are nobody; PeerAuthentication STRICT ends that")
	}
	for _, crd := range state.missing {
		if needed(crd) {
			r.note("the cluster has no " + crd + "; chart base installs the definition")
		}
	}
	if len(state.denied) > 0 {
		r.note("not read, since you may not list them: " + strings.Join(state.denied, ", "))
	}
	if o.call.port == 0 {
		return r, nil
	}
	return r, o.call.judge(mesh.Settings, w, chosen, r)
}

// guarded is what policies are chosen for: the pod's sidecar, or its gateway.
func guarded(m *model.Mesh, w *model.Workload) policy.Guarded {
	g := policy.Guarded{Namespace: w.Namespace, Labels: w.Labels}
	name := w.Labels["gateway.networking.k8s.io/gateway-name"]
	if slices.ContainsFunc(m.Gateways, func(g *model.Gateway) bool { return g.API && g.Namespace == w.Namespace && g.Name == name }) {
		g.Gateway, g.Class = name, w.Labels["gateway.networking.k8s.io/gateway-class-name"]
	}
	return g
}

// noPod names the pods that may have been meant.
func noPod(m *model.Mesh, namespace, pod string) error {
	var same, elsewhere []string
	for _, w := range m.Workloads {
		switch {
		case w.Namespace == namespace:
			same = append(same, w.Name)
		case w.Name == pod:
			elsewhere = append(elsewhere, w.Namespace)
		}
	}
	mend := "; no pod runs in that namespace"
	if len(elsewhere) > 0 {
		mend = fmt.Sprintf("; a pod of that name is in namespace %s: choose it with --namespace, or as NAMESPACE/POD", strings.Join(elsewhere, ", "))
	} else if len(same) > 0 {
		mend = "; there are " + strings.Join(same[:min(len(same), 5)], ", ")
		if len(same) > 5 {
			mend += fmt.Sprintf(" and %d more", len(same)-5)
		}
	}
	return fmt.Errorf("there is no pod %s/%s that runs%s", namespace, pod, mend)
}

// modes of mutual TLS that the pod's ports take.
func modes(w *model.Workload) string {
	names := map[model.MTLSMode]string{model.Permissive: "PERMISSIVE", model.Strict: "STRICT", model.Disable: "DISABLE"}
	text := names[w.MTLS]
	for _, p := range w.PortMTLS {
		text += fmt.Sprintf(", port %d %s", p.Port, names[p.Mode])
	}
	return text
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
