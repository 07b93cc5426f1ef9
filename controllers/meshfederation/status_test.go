// SPDX-License-Identifier: Apache-2.0

package meshfederation

import (
	"crypto/x509"
	"fmt"
	"math/big"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/status"
	"github.com/isthmesh/isthmesh/federation/trust"
	"github.com/isthmesh/isthmesh/test/golden"
	"github.com/isthmesh/isthmesh/test/kubectl"
)

// now is the time of all tests here.
var now = time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)

// root is one that expires after a time; nothing is signed with it here.
func root(validity time.Duration) *trust.Root {
	return &trust.Root{Certificate: &x509.Certificate{Raw: []byte("root"), SerialNumber: big.NewInt(1), NotAfter: now.Add(validity)}}
}

func healthy() Facts {
	return Facts{
		Root: root(9 * 365 * 24 * time.Hour), Address: "192.0.2.10:15060", ExportedServices: 7,
		Members: []Member{{Name: "east", Ready: true}, {Name: "west", Ready: true}},
	}
}

func with(change func(*Facts)) Facts {
	f := healthy()
	change(&f)
	return f
}

var states = map[string]struct {
	facts  Facts
	reason string
}{
	"Ready":     {healthy(), v1alpha1.ReasonReady},
	"NoMembers": {with(func(f *Facts) { f.Members = nil }), v1alpha1.ReasonNoMembers},
	"MembersNotReady": {with(func(f *Facts) {
		f.Members = []Member{{Name: "east", Ready: true}, {Name: "south", Reason: v1alpha1.ReasonLoopbackAPIServer}, {Name: "west", Reason: v1alpha1.ReasonEnrolling}}
	}), v1alpha1.ReasonMembersNotReady},
	"ManyMembersNotReady": {with(func(f *Facts) {
		for i := range 12 {
			f.Members = append(f.Members, Member{Name: fmt.Sprintf("x%02d", i), Reason: v1alpha1.ReasonAPIServerUnreachable})
		}
	}), v1alpha1.ReasonMembersNotReady},
	"SelectorInvalid": {with(func(f *Facts) {
		f.Members, f.SelectorError = nil, fmt.Errorf(`"Inside" is not a valid label selector operator`)
	}), v1alpha1.ReasonSelectorInvalid},
	"RootSecretNotFound": {with(func(f *Facts) {
		f.Root, f.RootError = nil, (&Roots{}).missing(&v1alpha1.MeshFederation{Spec: v1alpha1.MeshFederationSpec{Trust: v1alpha1.Trust{Root: v1alpha1.Root{SecretRef: &v1alpha1.LocalObjectReference{Name: "corp-root"}}}}}, metaKey("corp-root"))
	}), v1alpha1.ReasonRootSecretNotFound},
	"RootLost": {with(func(f *Facts) {
		f.Root, f.RootError = nil, (&Roots{}).missing(&v1alpha1.MeshFederation{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop"}, Status: v1alpha1.MeshFederationStatus{Trust: v1alpha1.TrustStatus{RootFingerprint: "9c8b7a"}}}, metaKey("shop-root-ca"))
	}), v1alpha1.ReasonRootLost},
	"RootInvalid": {with(func(f *Facts) {
		f.Root, f.RootError = nil, &rootError{v1alpha1.ReasonRootInvalid, `Secret "corp-root" can't be the root: tls.crt: certificate "CN=corp" is not a CA: give one with CA:TRUE`}
	}), v1alpha1.ReasonRootInvalid},
	"RootExpiring": {with(func(f *Facts) { f.Root = root(30 * 24 * time.Hour) }), v1alpha1.ReasonReady},
	"HubAddressPending": {with(func(f *Facts) {
		f.Address, f.AddressHint = "", "Service isthmesh-system/isthmesh-hub has no load balancer address yet: if the cluster has no load balancer, give the hub chart federation.address, host:port at which members reach it"
		f.Members = []Member{{Name: "west", Reason: v1alpha1.ReasonHubAddressPending}}
	}), v1alpha1.ReasonHubAddressPending},
	"Deleting": {with(func(f *Facts) { f.Deleting, f.Leaving = true, []string{"east", "west"} }), v1alpha1.ReasonDeleting},
}

// TestWhatPeopleSee keeps what `kubectl get` and `kubectl describe` show in
// each state, and what events tell on the way there from nothing.
func TestWhatPeopleSee(t *testing.T) {
	for name, s := range states {
		t.Run(name, func(t *testing.T) {
			f := &v1alpha1.MeshFederation{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: "default", Name: "shop", UID: "5d0f9a1c-0000-4000-8000-000000000002", Generation: 1,
					CreationTimestamp: metav1.Time{Time: time.Now().Add(-65*24*time.Hour - time.Hour)}, // kubectl tells ages by the real clock
				},
				Spec: v1alpha1.MeshFederationSpec{
					MeshID: "shop", Trust: v1alpha1.Trust{Domain: "shop.example", Scope: v1alpha1.TrustScopeMember},
					MemberSelector:  metav1.LabelSelector{MatchLabels: map[string]string{"mesh": "shop"}},
					EastWestGateway: v1alpha1.EastWestGateway{Replicas: 2, Port: 15443, ServiceType: "LoadBalancer"},
				},
			}
			f.Status = statusOf(f, s.facts, now)
			if ready := status.Find(f.Status.Conditions, v1alpha1.Ready); ready == nil || ready.Reason != s.reason {
				t.Errorf("Ready is %+v, want reason %s", ready, s.reason)
			}
			if diff := cmp.Diff(f.Status, statusOf(f, s.facts, now.Add(time.Minute))); diff != "" {
				t.Errorf("a minute later (-first +second):\n%s", diff)
			}
			shown := *f
			shown.CreationTimestamp = metav1.Time{Time: now.Add(-65 * 24 * time.Hour)}
			var events []corev1.Event
			for i, e := range status.Transitions(nil, f.Status.Conditions) {
				at := metav1.Time{Time: time.Now().Add(-3*time.Hour - 30*time.Minute - 30*time.Second)}
				events = append(events, corev1.Event{
					ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("shop.%d", i)}, Type: e.Type, Reason: e.Reason, Message: e.Note,
					ReportingController: "isthmesh-hub", FirstTimestamp: at, LastTimestamp: at,
				})
			}
			got := "$ kubectl get meshfederations\n" + kubectl.Get(t, "MeshFederation", false, f) +
				"\n$ kubectl get meshfederations -o wide\n" + kubectl.Get(t, "MeshFederation", true, f) +
				"\n$ kubectl describe meshfederation shop\n" + kubectl.Describe(t, "MeshFederation", &shown, events...)
			golden.File(t, filepath.Join("testdata", name+".txt"), got)
		})
	}
}
