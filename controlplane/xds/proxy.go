// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// admit checks what a proxy says of itself against the credential that it
// showed. A credential proves a service account, and if it is bound to a pod,
// the pod; both must be the node's.
func admit(n *node, c *authn.Caller) error {
	said := []struct{ what, node, credential string }{
		{"namespace of the node id", n.namespace, c.Namespace},
		{"metadata NAMESPACE", n.metadata.namespace, c.Namespace},
		{"metadata SERVICE_ACCOUNT", n.metadata.serviceAccount, c.ServiceAccount},
	}
	if c.PodName != "" {
		said = append(said, struct{ what, node, credential string }{"pod of the node id", n.name, c.PodName})
	}
	for _, s := range said {
		if s.node != "" && s.node != s.credential {
			return status.Errorf(codes.PermissionDenied, "%s is %q, but the credential is for %q", s.what, clip(s.node), s.credential)
		}
	}
	return nil
}

// describe makes the proxy that translators see. What the member's own API
// server says of the pod (w, nil while it isn't known) goes before what the
// proxy says.
func describe(n *node, identity spiffeid.ID, w *model.Workload) *model.Proxy {
	p := &model.Proxy{
		Type:       n.kind,
		Name:       n.name,
		Namespace:  n.namespace,
		Identity:   identity.String(),
		Addresses:  n.addresses,
		Cluster:    n.metadata.cluster,
		Network:    n.metadata.network,
		Locality:   n.locality,
		Labels:     n.metadata.labels,
		Workload:   w,
		DNSCapture: n.metadata.dnsCapture,
		Version:    n.metadata.version,
		Metadata:   n.metadata.texts,
	}
	if w == nil {
		return p
	}
	p.Labels = w.Labels
	if w.Network != "" {
		p.Network = w.Network
	}
	if w.Locality != (model.Locality{}) {
		p.Locality = w.Locality
	}
	if len(w.Addresses) > 0 {
		p.Addresses = w.Addresses
	}
	return p
}

// admitWorkload checks the credential against the pod itself, once that is known.
func admitWorkload(w *model.Workload, c *authn.Caller) error {
	switch {
	case w == nil:
		return nil
	case w.ServiceAccount != c.ServiceAccount:
		return status.Errorf(codes.PermissionDenied, "pod %s/%s has service account %q, but the credential is for %q",
			w.Namespace, w.Name, w.ServiceAccount, c.ServiceAccount)
	case c.PodUID != "" && w.UID != "" && c.PodUID != w.UID:
		return status.Errorf(codes.PermissionDenied, "pod %s/%s has UID %s, but the credential is bound to UID %s",
			w.Namespace, w.Name, w.UID, c.PodUID)
	}
	return nil
}
