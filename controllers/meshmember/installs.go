// SPDX-License-Identifier: Apache-2.0

package meshmember

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/install"
	"github.com/isthmesh/isthmesh/controllers/remote"
	"github.com/isthmesh/isthmesh/controllers/status"
)

// verifyEvery is how often the objects in a member are compared one by one even
// though nothing calls for it. In between only the inventory is read.
const verifyEvery = 10 * time.Minute

// installed is what this process last applied in full.
type installed struct {
	input, digest string
	at            time.Time
}

// installs brings the cluster to what the charts say. With one chart that can't
// be rendered nothing is changed: what runs goes on.
func (r *Reconciler) installs(ctx context.Context, s *scope) (bool, error) {
	p := placeOf(s)
	input, err := inputOf(p, r.Images, s)
	if err != nil {
		return false, err
	}
	have := r.lastInstalled(s)
	if have.input == input && r.Now().Sub(have.at) < verifyEvery {
		inventory, err := install.ReadInventory(ctx, s.cluster.Client, v1alpha1.SystemNamespace)
		if err == nil && inventory != nil && inventory.Digest == have.digest {
			return true, nil
		}
	}
	out := render(p, r.Images, s.federation, s.facts.Identity.Version)
	if out.controlPlane != nil || out.gateway != nil {
		return r.notRendered(ctx, s, out)
	}
	result, err := install.Apply(ctx, s.cluster.Client, install.Set{
		Owner:           r.owner(s.member),
		TakesOver:       func(owner string) bool { return r.takesOver(owner, s) },
		Label:           labelOf(s.member),
		Namespace:       v1alpha1.SystemNamespace,
		NamespaceLabels: map[string]string{"topology.istio.io/network": s.facts.Network},
		Objects:         out.objects,
	})
	if err != nil {
		problem := installProblem(s.cluster, err)
		s.facts.ControlPlane, s.facts.Gateway = &Component{Problem: problem}, &Component{Problem: problem}
		return false, nil
	}
	r.mu.Lock()
	if r.installed == nil {
		r.installed = map[types.NamespacedName]installed{}
	}
	r.installed[s.key()] = installed{input: input, digest: result.Inventory.Digest, at: r.Now()}
	r.mu.Unlock()
	if e := installedEvent(result); e != nil {
		status.Record(r.Recorder, s.member, []status.Event{*e})
	}
	return true, nil
}

// notRendered records which chart is at fault, and looks at what runs of the other.
func (r *Reconciler) notRendered(ctx context.Context, s *scope, out rendered) (bool, error) {
	for _, c := range []struct {
		name    string
		problem *Problem
		fact    **Component
	}{{controlPlaneName, out.controlPlane, &s.facts.ControlPlane}, {gatewayName, out.gateway, &s.facts.Gateway}} {
		if c.problem != nil {
			*c.fact = &Component{Problem: c.problem}
		} else if found, err := findComponent(ctx, s.cluster.Client, c.name); err == nil {
			*c.fact = found
		}
	}
	return false, nil
}

func (r *Reconciler) lastInstalled(s *scope) installed {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.installed[s.key()]
}

// owner of what is installed for a member.
func (r *Reconciler) owner(member *v1alpha1.MeshMember) string {
	return "hub " + r.HubID + ", MeshMember " + member.Namespace + "/" + member.Name
}

// labelOf is the value of the label on what is installed for a member.
func labelOf(member *v1alpha1.MeshMember) string {
	const most = 63 // characters of a label's value
	name := member.Namespace + "." + member.Name
	if len(name) <= most {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:most-17] + "-" + hex.EncodeToString(sum[:8])
}

// byCommandLine begins the owner of what `isthmesh install` installed.
const byCommandLine = "isthmesh-cli-"

// takesOver lets a member go on with what another of this hub installed that is
// younger or gone, and with a mesh on its own that the command line installed.
func (r *Reconciler) takesOver(owner string, s *scope) bool {
	if strings.HasPrefix(owner, byCommandLine) {
		return true
	}
	if !strings.HasPrefix(owner, "hub "+r.HubID+", ") {
		return false
	}
	i := slices.IndexFunc(s.others, func(m v1alpha1.MeshMember) bool { return r.owner(&m) == owner })
	return i < 0 || older(s.member, &s.others[i])
}

func placeOf(s *scope) place {
	meshID := s.federation.Spec.MeshID
	if meshID == "" {
		meshID = s.federation.Name
	}
	return place{
		member: s.member.Name, meshID: meshID, network: s.facts.Network, trustDomain: s.facts.TrustDomain, locality: s.member.Spec.Locality,
		checks: s.federation.Spec.EastWestGateway.HealthCheck,
	}
}

// inputOf is equal for equal inputs of render.
func inputOf(p place, images Images, s *scope) (string, error) {
	raw, err := json.Marshal([]any{
		p.member, p.meshID, p.network, p.trustDomain, p.locality, images,
		s.federation.Spec.ControlPlane, s.federation.Spec.EastWestGateway, s.facts.Identity,
	})
	if err != nil {
		return "", fmt.Errorf("MeshFederation %q: %w", s.federation.Name, err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}

func installProblem(cluster *remote.Cluster, err error) *Problem {
	var conflict *install.ConflictError
	var owned *install.OwnedError
	if errors.As(err, &conflict) || errors.As(err, &owned) {
		return &Problem{v1alpha1.ReasonInstallConflict, err.Error()}
	}
	if e := cluster.Explain(err); e.Reason != v1alpha1.ReasonAPIServerError {
		return &Problem{e.Reason, e.Message}
	}
	return &Problem{v1alpha1.ReasonInstallFailed, err.Error()}
}

func installedEvent(result install.Result) *status.Event {
	var parts []string
	if len(result.Changed) > 0 {
		parts = append(parts, fmt.Sprintf("applied %d objects: %s", len(result.Changed), status.Names(result.Changed)))
	}
	if len(result.Pruned) > 0 {
		parts = append(parts, fmt.Sprintf("deleted %d objects: %s", len(result.Pruned), status.Names(result.Pruned)))
	}
	if len(parts) == 0 {
		return nil
	}
	return &status.Event{Type: corev1.EventTypeNormal, Reason: v1alpha1.EventInstalled, Action: "Install", Note: strings.Join(parts, "; ")}
}

// available looks at what runs, and learns where the gateway is reached.
func (r *Reconciler) available(ctx context.Context, s *scope) (bool, error) {
	c := s.cluster.Client
	for _, part := range []struct {
		name string
		fact **Component
	}{{controlPlaneName, &s.facts.ControlPlane}, {gatewayName, &s.facts.Gateway}} {
		found, err := findComponent(ctx, c, part.name)
		if apierrors.IsNotFound(err) {
			found, err = r.applyAgain(s, "Deployment "+part.name), nil
		}
		if err != nil {
			return r.lost(s, err)
		}
		*part.fact = found
	}
	address, err := findAddress(ctx, c, s.member, s.federation)
	if apierrors.IsNotFound(err) {
		s.facts.Gateway = r.applyAgain(s, "Service "+gatewayName)
		return true, nil
	}
	if err != nil {
		return r.lost(s, err)
	}
	s.facts.Address = ownAddress(address, s.member, s.others)
	return true, nil
}

// applyAgain makes the next reconcile apply all objects, because one is gone.
func (r *Reconciler) applyAgain(s *scope, what string) *Component {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.installed, s.key())
	return &Component{Waiting: what + " was deleted in the cluster, and is applied again"}
}

// lost records that the cluster failed in the middle.
func (r *Reconciler) lost(s *scope, err error) (bool, error) {
	s.facts.Connect = &Outcome{Problem: problemOf(s.cluster.Explain(err), v1alpha1.ReasonAPIServerError)}
	return false, nil
}
