// SPDX-License-Identifier: Apache-2.0

package meshfederation

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/status"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/federation/hub"
	"github.com/isthmesh/isthmesh/federation/trust"
)

// Hub is told who is in which federation; hub.Server is one.
type Hub interface {
	SetFederations([]hub.Federation)
	SetMembers([]hub.Member)
}

// Roster tells the federation hub, on every change, all federations and all
// members at once: what the spec asks for and what the status has learned. A
// member that is being deleted, or that is in no federation, isn't told, so
// the others drop what it exported.
type Roster struct {
	Client client.Client
	Roots  *Roots
	Hub    Hub
	Now    func() time.Time
	Rand   io.Reader

	// identities of the hub, by federation. Only Reconcile, which never runs twice at once, uses them.
	identities map[string]hub.Federation
	told       sync.Once
	ready      chan struct{}
}

// NewRoster makes a Roster.
func NewRoster(c client.Client, roots *Roots, to Hub, now func() time.Time, rand io.Reader) *Roster {
	return &Roster{Client: c, Roots: roots, Hub: to, Now: now, Rand: rand, identities: map[string]hub.Federation{}, ready: make(chan struct{})}
}

// Ready is closed when the hub was told for the first time.
func (r *Roster) Ready() <-chan struct{} { return r.ready }

// refresh is how often certificates of the hub are looked at.
const refresh = time.Hour

// Reconcile tells the hub what holds now.
func (r *Roster) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	var federations v1alpha1.MeshFederationList
	if err := r.Client.List(ctx, &federations); err != nil {
		return ctrl.Result{}, fmt.Errorf("list MeshFederations: %w", err)
	}
	var members v1alpha1.MeshMemberList
	if err := r.Client.List(ctx, &members); err != nil {
		return ctrl.Result{}, fmt.Errorf("list MeshMembers: %w", err)
	}
	identities := map[string]hub.Federation{}
	var served []hub.Federation
	for i := range federations.Items {
		f := &federations.Items[i]
		identity, err := r.identity(ctx, f)
		if err != nil {
			continue // its condition TrustReady says why
		}
		identities[identity.Name] = identity
		served = append(served, identity)
	}
	slices.SortFunc(served, func(a, b hub.Federation) int { return cmp.Compare(a.Name, b.Name) })
	r.identities = identities
	r.Hub.SetFederations(served)
	r.Hub.SetMembers(Members(federations.Items, members.Items))
	r.told.Do(func() { close(r.ready) })
	return ctrl.Result{RequeueAfter: refresh}, nil
}

// identity is the hub's certificate for a federation: the one that it has, as
// long as the root is the same, or can't be read now, and it is in time.
func (r *Roster) identity(ctx context.Context, f *v1alpha1.MeshFederation) (hub.Federation, error) {
	name := f.Namespace + "/" + f.Name
	have, known := r.identities[name]
	fresh := known && trust.RenewalReason(have.Certificate.Leaf, r.Now()) == ""
	root, err := r.Roots.Root(ctx, f)
	if err != nil && fresh {
		return have, nil
	}
	if err != nil {
		return hub.Federation{}, err
	}
	if fresh && have.Roots.Equal(root.Bundle()) {
		return have, nil
	}
	out := hub.Federation{Name: name, ServerName: trust.HubServerName(f.Name, f.Namespace), Roots: root.Bundle()}
	out.Certificate, err = root.HubCertificate(out.ServerName, r.Rand, r.Now(), 0)
	return out, err
}

// Members makes the complete list for the hub, sorted.
func Members(federations []v1alpha1.MeshFederation, members []v1alpha1.MeshMember) []hub.Member {
	out := []hub.Member{}
	for i := range members {
		m := &members[i]
		at := slices.IndexFunc(federations, func(f v1alpha1.MeshFederation) bool {
			return f.Namespace == m.Namespace && f.Name == m.Status.Federation && f.DeletionTimestamp == nil
		})
		if at < 0 || m.DeletionTimestamp != nil || isDuplicate(m) {
			continue
		}
		out = append(out, memberFor(&federations[at], m))
	}
	slices.SortFunc(out, func(a, b hub.Member) int {
		return cmp.Or(cmp.Compare(a.Federation, b.Federation), cmp.Compare(a.Name, b.Name))
	})
	return out
}

func isDuplicate(m *v1alpha1.MeshMember) bool {
	c := status.Find(m.Status.Conditions, v1alpha1.Reachable)
	return c != nil && c.Reason == v1alpha1.ReasonClusterAlreadyMember
}

func memberFor(f *v1alpha1.MeshFederation, m *v1alpha1.MeshMember) hub.Member {
	out := hub.Member{
		Federation:  f.Namespace + "/" + f.Name,
		Name:        m.Name,
		UID:         string(m.UID),
		Network:     model.NetworkID(m.Status.Network),
		TrustDomain: m.Status.TrustDomain,
		Locality:    model.Locality{Region: m.Spec.Locality.Region, Zone: m.Spec.Locality.Zone},
		Cordoned:    m.Spec.Traffic == v1alpha1.TrafficCordoned || m.Spec.Traffic == v1alpha1.TrafficDraining,
	}
	for _, address := range m.Status.Gateway.Addresses {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			continue // the hub wrote it, so it can be read
		}
		if n, err := strconv.ParseUint(port, 10, 16); err == nil {
			out.Gateways = append(out.Gateways, model.GatewayAddress{Address: host, Port: uint16(n)})
		}
	}
	for _, serial := range []string{m.Status.Trust.IntermediateSerial, m.Status.Trust.PreviousSerial} {
		if serial != "" {
			out.Intermediates = append(out.Intermediates, serial)
		}
	}
	for _, rule := range f.Spec.Exports.Rules {
		out.Exports = append(out.Exports, hub.ExportRule{Members: rule.Members, Namespaces: rule.Namespaces})
	}
	return out
}

// all is the one thing that is reconciled.
var all = []reconcile.Request{{NamespacedName: client.ObjectKey{Name: "all"}}}

// SetupWithManager adds the controller to a manager.
func (r *Roster) SetupWithManager(mgr ctrl.Manager) error {
	every := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request { return all })
	ofRoots := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		var federations v1alpha1.MeshFederationList
		if err := r.Client.List(ctx, &federations, client.InNamespace(o.GetNamespace())); err != nil {
			return nil // the cache is gone: so is the process
		}
		if slices.ContainsFunc(federations.Items, func(f v1alpha1.MeshFederation) bool { return SecretName(&f) == o.GetName() }) {
			return all
		}
		return nil
	})
	return ctrl.NewControllerManagedBy(mgr).Named("roster").
		Watches(&v1alpha1.MeshFederation{}, every).
		Watches(&v1alpha1.MeshMember{}, every).
		WatchesMetadata(&corev1.Secret{}, ofRoots).
		WithOptions(controller.Options{MaxConcurrentReconciles: 1}).
		Complete(r)
}
