// SPDX-License-Identifier: Apache-2.0

package meshmember

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/federation/hub"
	"github.com/isthmesh/isthmesh/federation/trust"
)

// events keeps what was told.
type events struct{ list []string }

func (e *events) Eventf(_, _ runtime.Object, kind, reason, _, note string, args ...any) {
	e.list = append(e.list, kind+" "+reason+" "+fmt.Sprintf(note, args...))
}

// oneRoot is the root of all federations.
type oneRoot struct{ root *trust.Root }

func (r oneRoot) Root(context.Context, *v1alpha1.MeshFederation) (*trust.Root, error) {
	return r.root, nil
}

const token = "isthmesh-enrol-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

type enrolling struct {
	*Enroller
	events *events
	client client.Client
	csr    []byte
}

func newEnroller(t *testing.T, change func(*v1alpha1.MeshMember)) enrolling {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	f := federation("shop", nil)
	f.Spec.Trust = v1alpha1.Trust{Domain: "shop.example", Scope: v1alpha1.TrustScopeMember}
	m := west(v1alpha1.MemberTrustStatus{
		EnrolmentTokenHash:     trust.HashToken(token),
		EnrolmentTokenNotAfter: &metav1.Time{Time: now.Add(time.Hour)},
	})
	m.Status.Federation = "shop"
	m.Finalizers = []string{v1alpha1.Finalizer}
	if change != nil {
		change(m)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(m).WithObjects(&f, m).Build()
	root, err := trust.NewRoot(trust.RootRequest{Federation: "shop", Now: now, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	told := &events{}
	return enrolling{
		Enroller: &Enroller{Client: c, Reader: c, Roots: oneRoot{root}, Recorder: told, Now: func() time.Time { return now }, Rand: rand.Reader},
		events:   told, client: c, csr: csr,
	}
}

func (e enrolling) enroll(t *testing.T, with string) (hub.Issued, error) {
	t.Helper()
	return e.Enroll(t.Context(), hub.EnrollRequest{Ref: hub.Ref{Federation: "default/shop", Member: "west"}, Token: trust.NewSecret([]byte(with)), CSR: e.csr})
}

func (e enrolling) trust(t *testing.T) v1alpha1.MemberTrustStatus {
	t.Helper()
	var m v1alpha1.MeshMember
	if err := e.client.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "west"}, &m); err != nil {
		t.Fatal(err)
	}
	return m.Status.Trust
}

func TestEnroll(t *testing.T) {
	e := newEnroller(t, func(m *v1alpha1.MeshMember) { m.Status.Trust.PreviousSerial = "stolen" })
	issued, err := e.enroll(t, token)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(issued.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if len(cert.PermittedURIDomains) != 1 || cert.PermittedURIDomains[0] != "west.shop.example" || len(issued.Roots) != 1 {
		t.Errorf("certificate for %v, %d roots", cert.PermittedURIDomains, len(issued.Roots))
	}
	got := e.trust(t)
	if got.IntermediateSerial != trust.Serial(cert) || got.EnrolmentTokenHash != "" || got.EnrolmentTokenNotAfter != nil || got.EnrolledAt == nil ||
		got.PreviousSerial != "" || got.RootFingerprint == "" || !got.IntermediateNotAfter.Time.Equal(cert.NotAfter) {
		t.Errorf("recorded %+v", got)
	}
	refused(t, e, hub.TokenSpent, func() error { _, err := e.enroll(t, token); return err })
}

func refused(t *testing.T, e enrolling, reason hub.EnrolReason, f func() error) {
	t.Helper()
	before := e.trust(t)
	err := f()
	var refusal *hub.EnrolError
	if !errors.As(err, &refusal) || refusal.Reason != reason {
		t.Errorf("got %v, want a refusal for %s", err, reason)
	}
	if after := e.trust(t); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("a refusal changed the record:\n%v\n%v", before, after)
	}
}

func TestEnrollRefuses(t *testing.T) {
	other := token[:len(token)-2] + "BA"
	deleted := metav1.NewTime(now)
	tests := map[string]struct {
		change func(*v1alpha1.MeshMember)
		token  string
		reason hub.EnrolReason
		told   bool
	}{
		"Wrong":     {nil, other, hub.TokenWrong, true},
		"NoToken":   {nil, "", hub.TokenWrong, true},
		"NoneGiven": {func(m *v1alpha1.MeshMember) { m.Status.Trust = v1alpha1.MemberTrustStatus{} }, token, hub.TokenWrong, true},
		"Expired": {func(m *v1alpha1.MeshMember) {
			m.Status.Trust.EnrolmentTokenNotAfter = &metav1.Time{Time: now.Add(-time.Second)}
		}, token, hub.TokenExpired, true},
		"Spent": {func(m *v1alpha1.MeshMember) {
			m.Status.Trust = v1alpha1.MemberTrustStatus{EnrolledAt: &metav1.Time{Time: now}}
		}, token, hub.TokenSpent, true},
		"Outside":  {func(m *v1alpha1.MeshMember) { m.Status.Federation = "" }, token, hub.MemberUnknown, false},
		"Deleting": {func(m *v1alpha1.MeshMember) { m.DeletionTimestamp = &deleted }, token, hub.MemberUnknown, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := newEnroller(t, test.change)
			refused(t, e, test.reason, func() error { _, err := e.enroll(t, test.token); return err })
			if got := len(e.events.list) > 0; got != test.told {
				t.Errorf("events %v", e.events.list)
			}
		})
	}
	t.Run("CSR", func(t *testing.T) {
		e := newEnroller(t, nil)
		e.csr = []byte("nonsense")
		refused(t, e, hub.CSRInvalid, func() error { _, err := e.enroll(t, token); return err })
	})
	t.Run("Unknown", func(t *testing.T) {
		e := newEnroller(t, nil)
		for _, ref := range []hub.Ref{{Federation: "default/bank", Member: "west"}, {Federation: "default/shop", Member: "east"}, {Federation: "shop", Member: "west"}} {
			refused(t, e, hub.MemberUnknown, func() error {
				_, err := e.Enroll(t.Context(), hub.EnrollRequest{Ref: ref, Token: trust.NewSecret([]byte(token)), CSR: e.csr})
				return err
			})
		}
	})
}

// TestRenew: the one before stays good for one renewal, older ones don't.
func TestRenew(t *testing.T) {
	e := newEnroller(t, nil)
	if _, err := e.enroll(t, token); err != nil {
		t.Fatal(err)
	}
	first := e.trust(t).IntermediateSerial
	renew := func(serial string) error {
		_, err := e.Renew(t.Context(), hub.RenewRequest{Ref: hub.Ref{Federation: "default/shop", Member: "west"}, Serial: serial, CSR: e.csr})
		return err
	}
	if err := renew(first); err != nil {
		t.Fatal(err)
	}
	second := e.trust(t)
	if second.IntermediateSerial == first || second.PreviousSerial != first {
		t.Errorf("recorded %+v after %s", second, first)
	}
	if err := renew(first); err != nil { // another replica, which has the old one still
		t.Errorf("the one before: %v", err)
	}
	refused(t, e, hub.CertificateRefused, func() error { return renew(first) })
	refused(t, e, hub.CertificateRefused, func() error { return renew("") })
}
