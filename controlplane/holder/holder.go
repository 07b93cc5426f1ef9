// SPDX-License-Identifier: Apache-2.0

// Package holder tells what a certificate says of the workload that holds it: it asks
// the API server for the pod that the caller's token is bound to, and the mesh for
// machines. It comes after authn, which proves who calls, and before ca, which signs.
package holder

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientv1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/inject"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/peer"
)

// patience is how long the API server may take: no certificate waits longer for it.
const patience = time.Second

// Holders knows who holds certificates.
type Holders struct {
	// Pods of the member.
	Pods clientv1.PodsGetter
	// Cluster that this is.
	Cluster string
	// Machines are workloads of a namespace and service account that are no pods.
	Machines func(namespace, account string) []*model.Workload
}

// Of a caller. What can't be found out is empty, and an error says why.
func (h *Holders) Of(ctx context.Context, c *authn.Caller) (peer.Peer, error) {
	out := peer.Peer{Namespace: c.Namespace, Cluster: h.Cluster}
	switch {
	case c.Holder != (peer.Peer{}):
		return c.Holder, nil // this CA wrote it
	case c.PodName == "":
		agreed(&out, h.Machines(c.Namespace, c.ServiceAccount))
		return out, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// Out of the API server's own cache: the answer is as good, and costs no quorum.
	pod, err := h.Pods.Pods(c.Namespace).Get(ctx, c.PodName, metav1.GetOptions{ResourceVersion: "0"})
	switch {
	case err != nil:
		return out, fmt.Errorf("read pod %s/%s: %w", c.Namespace, c.PodName, err)
	case c.PodUID != "" && string(pod.UID) != c.PodUID:
		return out, errors.New("another pod has the name of the one that the token is bound to")
	}
	fill(&out, pod.Labels, inject.WorkloadOf(pod))
	return out, nil
}

// fill in what labels and the workload tell.
func fill(out *peer.Peer, labels map[string]string, of inject.Workload) {
	out.Workload, out.App, out.Version = of.Name, labels["app"], labels["version"]
	out.CanonicalService, out.CanonicalRevision = inject.Canonical(labels, of)
}

// agreed is what all machines of an account have in common: its token doesn't tell
// which of them shows it.
func agreed(out *peer.Peer, machines []*model.Workload) {
	for i, m := range machines {
		of := peer.Peer{Namespace: out.Namespace, Cluster: out.Cluster}
		fill(&of, m.Labels, inject.Workload{Name: m.Name})
		if i == 0 {
			*out = of
			continue
		}
		keep := func(known *string, other string) {
			if *known != other {
				*known = ""
			}
		}
		keep(&out.Workload, of.Workload)
		keep(&out.App, of.App)
		keep(&out.Version, of.Version)
		keep(&out.CanonicalService, of.CanonicalService)
		keep(&out.CanonicalRevision, of.CanonicalRevision)
	}
}
