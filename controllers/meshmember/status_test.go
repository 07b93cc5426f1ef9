// SPDX-License-Identifier: Apache-2.0

package meshmember

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/remote"
	"github.com/isthmesh/isthmesh/controllers/status"
	"github.com/isthmesh/isthmesh/federation/hub"
	"github.com/isthmesh/isthmesh/test/golden"
	"github.com/isthmesh/isthmesh/test/kubectl"
)

// now is the time of all tests here.
var now = time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)

// healthy are the facts of a member that lacks nothing.
func healthy() Facts {
	return Facts{
		Federation: "shop", Network: "west", TrustDomain: "west.shop.example", HubAddress: "192.0.2.10:15060",
		Connect:      &Outcome{},
		Identity:     remote.Identity{UID: "2f6b1d5e-5f0f-4b5c-9b0a-1a2b3c4d5e6f", Version: "v1.36.3"},
		ControlPlane: &Component{}, Gateway: &Component{},
		Address: &Address{Found: []string{"192.0.2.21:15443", "192.0.2.22:15443"}},
		Trust:   &Trust{},
		Stream:  &hub.Status{Connected: 1, Exporting: true, Synced: true, Exported: 3, Imported: 5},
	}
}

// with changes healthy facts.
func with(change func(*Facts)) Facts {
	f := healthy()
	change(&f)
	return f
}

// unreachable are the facts of a member that was well once and can't be reached.
func unreachable(reason, message string) Facts {
	return Facts{
		Federation: "shop", Network: "west", TrustDomain: "west.shop.example", HubAddress: "192.0.2.10:15060",
		Connect: &Outcome{Problem: &Problem{reason, message}},
		Stream:  &hub.Status{Connected: 1, Exporting: true, Synced: true, Exported: 3, Imported: 5},
	}
}

// fresh are the facts of a member that never worked.
func fresh(reason, message string) Facts {
	f := unreachable(reason, message)
	f.Stream = nil
	return f
}

var enrolledTrust = v1alpha1.MemberTrustStatus{
	IntermediateSerial:   "4f1c2a",
	RootFingerprint:      "9c8b7a",
	IntermediateNotAfter: &metav1.Time{Time: now.Add(300 * 24 * time.Hour)},
	EnrolledAt:           &metav1.Time{Time: now.Add(-65 * 24 * time.Hour)},
}

// states of a member, each with what its status said of trust before, and the
// reason that Ready has to have.
var states = map[string]struct {
	facts  Facts
	trust  v1alpha1.MemberTrustStatus
	reason string
}{
	"Ready":         {facts: healthy(), trust: enrolledTrust, reason: v1alpha1.ReasonReady},
	"NoFederation":  {facts: Facts{Unselected: &Problem{v1alpha1.ReasonNoFederation, `no MeshFederation in namespace "default" selects the member, whose labels are none: give it the labels of a spec.memberSelector`}}, reason: v1alpha1.ReasonNoFederation},
	"NoSecret":      {facts: fresh(v1alpha1.ReasonKubeconfigSecretNotFound, "Secret \"west-kubeconfig\" with the cluster's kubeconfig is not in namespace \"default\": `kubectl create secret generic west-kubeconfig -n default --from-file=kubeconfig=<file>`"), reason: v1alpha1.ReasonKubeconfigSecretNotFound},
	"Loopback":      {facts: fresh(v1alpha1.ReasonLoopbackAPIServer, "the server https://127.0.0.1:41237 is an address that only its own machine reaches, and the hub is not there: give an address that the hub reaches; for a kind cluster: `kind get kubeconfig --internal --name <cluster>`"), reason: v1alpha1.ReasonLoopbackAPIServer},
	"Unreachable":   {facts: unreachable(v1alpha1.ReasonAPIServerUnreachable, "no API server answers the hub at https://192.0.2.1:6443: dial: connection refused; check that the address is right and that the hub's network reaches it"), trust: enrolledTrust, reason: v1alpha1.ReasonAPIServerUnreachable},
	"AlreadyMember": {facts: fresh(v1alpha1.ReasonClusterAlreadyMember, `the cluster is MeshMember "east" already, which is older: delete one of the two, or give this one the kubeconfig of another cluster`), reason: v1alpha1.ReasonClusterAlreadyMember},
	"HubAddress": {facts: with(func(f *Facts) {
		f.Stream = nil
		f.Trust = &Trust{Problem: &Problem{v1alpha1.ReasonHubAddressPending, `nobody knows yet where members reach the hub: MeshFederation "shop" tells why`}}
		f.ControlPlane = &Component{Waiting: "Deployment istio-system/istiod has 0 of 1 replicas available"}
	}), reason: v1alpha1.ReasonHubAddressPending},
	"Enrolling": {facts: with(func(f *Facts) {
		f.Stream = nil
		f.Trust = &Trust{Waiting: true}
		f.ControlPlane = &Component{Waiting: "Deployment istio-system/istiod has 0 of 1 replicas available"}
	}), reason: v1alpha1.ReasonEnrolling},
	"ImagePull": {facts: with(func(f *Facts) {
		f.Stream = nil
		f.Trust = &Trust{Waiting: true}
		f.ControlPlane = &Component{Problem: &Problem{v1alpha1.ReasonImagePullFailed, "Deployment istio-system/istiod has 0 of 1 replicas available: its nodes can't get image isthmesh/istiod:v9: check global.hub, global.tag and global.imagePullSecrets in the federation's values"}}
	}), reason: v1alpha1.ReasonImagePullFailed},
	"ValuesInvalid": {facts: with(func(f *Facts) {
		f.ControlPlane = &Component{Problem: &Problem{v1alpha1.ReasonValuesInvalid, `spec.controlPlane.values of MeshFederation "shop": chart istiod refuses the values: "replicaCount" is wrong: got string, want integer`}}
	}), trust: enrolledTrust, reason: v1alpha1.ReasonValuesInvalid},
	"InstallConflict": {facts: with(func(f *Facts) {
		f.Stream, f.Trust, f.Address = nil, nil, nil
		p := &Problem{v1alpha1.ReasonInstallConflict, "the cluster has Deployment istio-system/istiod already, made by istioctl: remove what they belong to, such as another mesh, and it is installed then"}
		f.ControlPlane, f.Gateway = &Component{Problem: p}, &Component{Problem: p}
	}), reason: v1alpha1.ReasonInstallConflict},
	"GatewayAddress": {facts: with(func(f *Facts) {
		f.Address = &Address{Problem: &Problem{v1alpha1.ReasonGatewayAddressPending, "Service istio-system/istio-eastwestgateway has no load balancer address yet: if the cluster has no load balancer, set spec.eastWestGateway.serviceType of the MeshFederation to NodePort, or give spec.gateway.addresses of the MeshMember"}}
	}), trust: enrolledTrust, reason: v1alpha1.ReasonGatewayAddressPending},
	"GatewayTaken": {facts: with(func(f *Facts) {
		f.Address = ownAddress(&Address{Found: []string{"192.0.2.7:15443"}}, west(v1alpha1.MemberTrustStatus{}), []v1alpha1.MeshMember{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "east", UID: "older"},
			Status:     v1alpha1.MeshMemberStatus{Gateway: v1alpha1.GatewayStatus{Addresses: []string{"192.0.2.7:15443"}}},
		}})
	}), trust: enrolledTrust, reason: v1alpha1.ReasonGatewayAddressConflict},
	"GatewayUnreached": {facts: with(func(f *Facts) {
		f.Stream.Unreached = []hub.UnreachedGateway{{Address: "192.0.2.21:15443", From: []string{"east", "north"}}}
	}), trust: enrolledTrust, reason: v1alpha1.ReasonGatewayUnreached},
	"GatewayUnreachedByMany": {facts: with(func(f *Facts) {
		var from []string
		for i := range status.MostNames + 2 {
			from = append(from, fmt.Sprintf("m%02d", i))
		}
		f.Stream.Unreached = []hub.UnreachedGateway{{Address: "192.0.2.21:15443", From: from}, {Address: "192.0.2.22:15443", From: from[:1]}}
	}), trust: enrolledTrust, reason: v1alpha1.ReasonGatewayUnreached},
	"Disconnected": {facts: with(func(f *Facts) { f.Stream = &hub.Status{LastError: "connection lost", Exported: 3} }), trust: enrolledTrust, reason: v1alpha1.ReasonDisconnected},
	"Joining":      {facts: with(func(f *Facts) { f.Stream = &hub.Status{} }), trust: v1alpha1.MemberTrustStatus{IntermediateSerial: "4f", IntermediateNotAfter: &metav1.Time{Time: now.Add(time.Hour)}, EnrolledAt: &metav1.Time{Time: now.Add(-time.Second)}}, reason: v1alpha1.ReasonProgressing},
	"Syncing":      {facts: with(func(f *Facts) { f.Stream = &hub.Status{Connected: 1} }), trust: enrolledTrust, reason: v1alpha1.ReasonSyncing},
	"ExportsRefused": {facts: with(func(f *Facts) {
		f.Stream.Refused = []hub.Refusal{{Member: "west", Namespace: "pay", Name: "ledger", Reason: "NotAllowed", Message: "namespace pay is not among those that the federation lets west export"}, {Namespace: "pay", Name: "vault"}}
	}), trust: enrolledTrust, reason: v1alpha1.ReasonReady},
	"Expired":         {facts: unreachable(v1alpha1.ReasonUnauthorized, "the API server at https://192.0.2.1:6443 refuses the kubeconfig's credentials: they may have expired; put a fresh kubeconfig into the Secret"), trust: v1alpha1.MemberTrustStatus{IntermediateSerial: "4f", IntermediateNotAfter: &metav1.Time{Time: now.Add(-time.Hour)}}, reason: v1alpha1.ReasonUnauthorized},
	"Deleting":        {facts: Facts{Federation: "shop", Network: "west", TrustDomain: "west.shop.example", Leaving: &Leaving{Until: now.Add(time.Minute), Going: []string{"Deployment istio-system/istiod"}}}, trust: enrolledTrust, reason: v1alpha1.ReasonDeleting},
	"DeletionBlocked": {facts: Facts{Federation: "shop", Network: "west", TrustDomain: "west.shop.example", Leaving: &Leaving{Until: now.Add(time.Minute), Blocked: &Problem{v1alpha1.ReasonAPIServerUnreachable, "no API server answers the hub at https://192.0.2.1:6443: no answer within 5s"}}}, trust: enrolledTrust, reason: v1alpha1.ReasonDeletionBlocked},
}

func west(trust v1alpha1.MemberTrustStatus) *v1alpha1.MeshMember {
	return &v1alpha1.MeshMember{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: "west", UID: "5d0f9a1c-0000-4000-8000-000000000001", Generation: 2, Labels: map[string]string{"mesh": "shop"},
			CreationTimestamp: metav1.Time{Time: time.Now().Add(-65*24*time.Hour - time.Hour)}, // kubectl tells ages by the real clock
		},
		Spec: v1alpha1.MeshMemberSpec{
			KubeconfigSecretRef: &v1alpha1.LocalObjectReference{Name: "west-kubeconfig"}, Network: "west",
			Locality: v1alpha1.Locality{Region: "eu", Zone: "eu-1"}, Traffic: v1alpha1.TrafficActive, DeletionPolicy: v1alpha1.DeletionPolicyDelete,
		},
		Status: v1alpha1.MeshMemberStatus{Trust: trust},
	}
}

// TestWhatPeopleSee keeps what `kubectl get` and `kubectl describe` show in
// each state, and what events tell on the way there from nothing.
func TestWhatPeopleSee(t *testing.T) {
	for name, s := range states {
		t.Run(name, func(t *testing.T) {
			m := west(s.trust)
			m.Status = statusOf(m, s.facts, now)
			if ready := status.Find(m.Status.Conditions, v1alpha1.Ready); ready == nil || ready.Reason != s.reason {
				t.Errorf("Ready is %+v, want reason %s", ready, s.reason)
			}
			shown := *m
			shown.CreationTimestamp = metav1.Time{Time: now.Add(-65 * 24 * time.Hour)}
			got := "$ kubectl get meshmembers\n" + kubectl.Get(t, "MeshMember", false, m) +
				"\n$ kubectl get meshmembers -o wide\n" + kubectl.Get(t, "MeshMember", true, m) +
				"\n$ kubectl describe meshmember west\n" + kubectl.Describe(t, "MeshMember", &shown, eventsOf(status.Transitions(nil, m.Status.Conditions))...)
			golden.File(t, filepath.Join("testdata", name+".txt"), got)
		})
	}
}

func eventsOf(in []status.Event) []corev1.Event {
	out := make([]corev1.Event, len(in))
	for i, e := range in {
		out[i] = corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("west.%d", i), Namespace: "default"},
			Type:       e.Type, Reason: e.Reason, Message: e.Note, ReportingController: "isthmesh-hub",
			FirstTimestamp: metav1.Time{Time: time.Now().Add(-3*time.Hour - 30*time.Minute - 30*time.Second)},
			LastTimestamp:  metav1.Time{Time: time.Now().Add(-3*time.Hour - 30*time.Minute - 30*time.Second)},
		}
	}
	return out
}

// TestStatusIsStable: the same facts a while later are the same status.
func TestStatusIsStable(t *testing.T) {
	for name, s := range states {
		m := west(s.trust)
		m.Status = statusOf(m, s.facts, now)
		again := statusOf(m, s.facts, now.Add(10*time.Second))
		if diff := cmp.Diff(m.Status, again); diff != "" {
			t.Errorf("%s (-first +second):\n%s", name, diff)
		}
		if events := status.Transitions(m.Status.Conditions, again.Conditions); len(events) > 0 {
			t.Errorf("%s: events without a change: %+v", name, events)
		}
	}
}

// TestStatusKeepsWhatIsNotKnown: a member that can't be reached keeps its
// address, its CA and its identity, on which others rely.
func TestStatusKeepsWhatIsNotKnown(t *testing.T) {
	m := west(enrolledTrust)
	m.Status = statusOf(m, healthy(), now)
	lost := m.DeepCopy()
	lost.Status = statusOf(m, unreachable(v1alpha1.ReasonAPIServerUnreachable, "gone"), now)
	lost.Status.Conditions, m.Status.Conditions = nil, nil
	if diff := cmp.Diff(m.Status, lost.Status); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

// TestStatusWaitsForTheStream: a stream that is gone for a moment leaves the
// status as it is; a member that never had one doesn't gain by that.
func TestStatusWaitsForTheStream(t *testing.T) {
	var m *v1alpha1.MeshMember
	for _, state := range []string{"GatewayUnreached", "Ready"} {
		m = west(enrolledTrust)
		m.Status = statusOf(m, states[state].facts, now)
		got := statusOf(m, with(func(f *Facts) { f.Stream, f.Awaited = nil, true }), now)
		if diff := cmp.Diff(m.Status, got); diff != "" {
			t.Errorf("%s (-before +after):\n%s", state, diff)
		}
	}
	never := statusOf(west(enrolledTrust), with(func(f *Facts) { f.Stream, f.Awaited = nil, true }), now)
	if status.IsTrue(never.Conditions, v1alpha1.EndpointsSynced) || status.IsTrue(never.Conditions, v1alpha1.Ready) {
		t.Errorf("ready without ever having had a stream: %+v", never.Conditions)
	}

	at := now
	r := &Reconciler{Now: func() time.Time { return at }}
	s := &scope{member: m}
	for _, step := range []struct {
		after     time.Duration
		connected bool
		want      bool
	}{
		{0, false, true}, {grace - time.Second, false, true}, {2 * time.Second, false, false}, // a hub that just started
		{0, true, false}, {grace - time.Second, false, true}, {2 * time.Second, false, false}, // a control plane that restarts
	} {
		at = at.Add(step.after)
		if got := r.awaited(s, step.connected); got != step.want {
			t.Errorf("at %s, connected %v: awaited %v", at.Sub(now), step.connected, got)
		}
	}
}

// TestStatusForgetsAnotherCluster: behind a new cluster's API server nothing of
// the old one counts.
func TestStatusForgetsAnotherCluster(t *testing.T) {
	m := west(enrolledTrust)
	m.Status = statusOf(m, healthy(), now)
	f := Facts{Federation: "shop", Network: "west", TrustDomain: "west.shop.example", Connect: &Outcome{}, Identity: remote.Identity{UID: "another", Version: "v1.36.3"}}
	got := statusOf(m, f, now)
	if got.Trust != (v1alpha1.MemberTrustStatus{}) || len(got.Gateway.Addresses) > 0 || got.ClusterUID != "another" {
		t.Errorf("status of a new cluster has the old one's: %+v", got)
	}
}
