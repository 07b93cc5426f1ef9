// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"

	"github.com/isthmesh/isthmesh/controlplane/ca"
	"github.com/isthmesh/isthmesh/federation/member"
	"github.com/isthmesh/isthmesh/federation/trust"
)

const domain = "west.shop.example"

// standIn is a hub that signs whatever it is asked to, and the cluster of its member.
type standIn struct {
	t        *testing.T
	root     *trust.Root
	kube     *fake.Clientset
	later    atomic.Int64 // than the real time, in nanoseconds
	enrolled atomic.Int32
	renewed  atomic.Int32
	// watched is closed when somebody watches: a fake API server forgets what happens
	// between a list and its watch.
	watched chan struct{}
}

func newStandIn(t *testing.T) *standIn {
	t.Helper()
	root, err := trust.NewRoot(trust.RootRequest{Federation: "shop", Now: time.Now().Add(-3 * 365 * 24 * time.Hour), Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	h := &standIn{t: t, root: root, kube: fake.NewClientset(), watched: make(chan struct{})}
	tell := sync.OnceFunc(func() { close(h.watched) })
	h.kube.PrependWatchReactor("*", func(a kubetesting.Action) (bool, watch.Interface, error) {
		defer tell()
		w, err := h.kube.Tracker().Watch(a.GetResource(), a.GetNamespace())
		return true, w, err
	})
	return h
}

func (h *standIn) now() time.Time { return time.Now().Add(time.Duration(h.later.Load())) }

// intermediate is the data of a cacerts, signed so long ago, for a year.
func (h *standIn) intermediate(ago time.Duration) map[string][]byte {
	h.t.Helper()
	key, err := trust.GenerateKey(rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	csr, err := trust.NewCSR(key, rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	certificate, err := h.root.SignIntermediate(trust.IntermediateRequest{
		Member: "west", TrustDomain: spiffeid.RequireTrustDomainFromString(domain), CSR: csr, Now: h.now().Add(-ago), Rand: rand.Reader,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	pem, err := key.PEM()
	if err != nil {
		h.t.Fatal(err)
	}
	encoded := trust.EncodeCertificates(certificate)
	return map[string][]byte{
		"ca-cert.pem": encoded, "ca-key.pem": pem.Reveal(), "root-cert.pem": trust.EncodeBundle(h.root.Bundle()), "cert-chain.pem": encoded,
	}
}

// authority of the member, as run makes it.
func (h *standIn) authority(federation bool) *authority {
	h.t.Helper()
	signing, err := ca.NewAuthority(ca.Settings{TrustDomain: spiffeid.RequireTrustDomainFromString(domain), Now: h.now, Rand: rand.Reader})
	if err != nil {
		h.t.Fatal(err)
	}
	return &authority{
		Authority: signing, kube: h.kube, namespace: "istio-system", meshID: "shop", federation: federation, now: h.now,
		hub: hubCA{
			enroll: func(_ context.Context, e member.Enrolment) (map[string][]byte, error) {
				if !e.HasToken() {
					return nil, errors.New("no token")
				}
				h.enrolled.Add(1)
				return h.intermediate(0), nil
			},
			renew: func(context.Context, member.Hub, string, *tls.Certificate) (map[string][]byte, error) {
				h.renewed.Add(1)
				return h.intermediate(0), nil
			},
		},
	}
}

func (h *standIn) write(name string, data map[string][]byte) {
	h.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: name}, Data: data}
	secrets := h.kube.CoreV1().Secrets("istio-system")
	_, err := secrets.Create(h.t.Context(), secret, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = secrets.Update(h.t.Context(), secret, metav1.UpdateOptions{})
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// enrolment is what the hub leaves, with a token or without.
func (h *standIn) enrolment(token string) {
	h.t.Helper()
	data := map[string][]byte{
		"member": []byte("west"), "federation": []byte("default/shop"), "address": []byte("192.0.2.1:15060"), "server-name": []byte("hub"),
		"trust-domain": []byte(domain), "roots.pem": trust.EncodeBundle(h.root.Bundle()),
	}
	if token != "" {
		data["token"] = []byte(token)
	}
	h.write(enrolmentSecret, data)
}

// kept is the certificate in cacerts, nil for none that can be read.
func (h *standIn) kept() *x509.Certificate {
	h.t.Helper()
	signer, err := ca.Load(context.Background(), h.kube.CoreV1().Secrets("istio-system"), ca.CACertsSecret, h.now())
	if err != nil || signer == nil {
		return nil
	}
	return signer.Certificate()
}

const year = 365 * 24 * time.Hour

// TestOnce: what a control plane that starts makes of its cacerts. An error says
// what is wrong and what mends it.
func TestOnce(t *testing.T) {
	malformed := map[string][]byte{"ca-cert.pem": []byte("x")}
	const remove = "`kubectl delete secret cacerts -n istio-system`"
	cases := map[string]struct {
		alone    bool
		cacerts  func(*standIn) map[string][]byte
		token    string // "none" is no enrolment Secret
		says     []string
		enrolled int32
	}{
		"NewMember":         {token: "t", enrolled: 1},
		"NoEnrolmentYet":    {token: "none", says: []string{"secret istio-system/isthmesh-enrolment is not there yet", "the hub writes it"}},
		"NoToken":           {says: []string{"has no token", "its MeshMember on the hub says why"}},
		"Good":              {cacerts: func(h *standIn) map[string][]byte { return h.intermediate(0) }, token: "t"},
		"Expired":           {cacerts: func(h *standIn) map[string][]byte { return h.intermediate(year + time.Hour) }, token: "t", enrolled: 1},
		"ExpiredNoToken":    {cacerts: func(h *standIn) map[string][]byte { return h.intermediate(year + time.Hour) }, says: []string{"secret istio-system/cacerts: ", "expired at", "has no token", "the hub puts one there"}},
		"Malformed":         {cacerts: func(*standIn) map[string][]byte { return malformed }, says: []string{`secret istio-system/cacerts: key "ca-cert.pem"`, remove + " lets this member enrol again", "has no token"}},
		"MalformedAndToken": {cacerts: func(*standIn) map[string][]byte { return malformed }, token: "t", enrolled: 1},
		"Empty":             {cacerts: func(*standIn) map[string][]byte { return nil }, says: []string{`key "ca-cert.pem" is missing`, remove}},
		"OtherDomain":       {cacerts: otherDomain, says: []string{"can't be used in trust domain", remove}},
		"AloneMalformed":    {alone: true, cacerts: func(*standIn) map[string][]byte { return malformed }, says: []string{`key "ca-cert.pem"`, "put a CA there that can be used", remove}},
		"AloneExpired":      {alone: true, cacerts: func(h *standIn) map[string][]byte { return h.intermediate(year + time.Hour) }, says: []string{"expired at", "put a CA there that can be used"}},
		"Alone":             {alone: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := newStandIn(t)
			if c.cacerts != nil {
				h.write(ca.CACertsSecret, c.cacerts(h))
			}
			if c.token != "none" && !c.alone {
				h.enrolment(c.token)
			}
			a := h.authority(!c.alone)
			err := a.once(t.Context())
			if (err == nil) != (len(c.says) == 0) || (err == nil) != (a.Signer() != nil) {
				t.Fatalf("error %v, signer %v", err, a.Signer())
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("it says %q, want %q in it", err, s)
				}
			}
			if n := h.enrolled.Load(); n != c.enrolled {
				t.Errorf("enrolled %d times, want %d", n, c.enrolled)
			}
			if err == nil && !c.alone && !a.Signer().Certificate().Equal(h.kept()) {
				t.Error("the signer in use is not the one in cacerts")
			}
		})
	}
}

// otherDomain is a CA of another member.
func otherDomain(h *standIn) map[string][]byte {
	key, err := trust.GenerateKey(rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	csr, err := trust.NewCSR(key, rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	certificate, err := h.root.SignIntermediate(trust.IntermediateRequest{
		Member: "east", TrustDomain: spiffeid.RequireTrustDomainFromString("east.shop.example"), CSR: csr, Now: h.now(), Rand: rand.Reader,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	pem, err := key.PEM()
	if err != nil {
		h.t.Fatal(err)
	}
	return map[string][]byte{
		"ca-cert.pem": trust.EncodeCertificates(certificate), "ca-key.pem": pem.Reveal(), "root-cert.pem": trust.EncodeBundle(h.root.Bundle()),
	}
}

// TestTokenIsNotWasted: what a token gave is kept until it can be saved, and is
// given up when another replica was first.
func TestTokenIsNotWasted(t *testing.T) {
	h := newStandIn(t)
	h.enrolment("t")
	a := h.authority(true)
	refuse := true
	h.kube.PrependReactor("create", "secrets", func(kubetesting.Action) (bool, runtime.Object, error) {
		return refuse, nil, errors.New("the API server is away")
	})
	if err := a.once(t.Context()); err == nil || a.unsaved == nil {
		t.Fatalf("error %v, kept %v", err, a.unsaved)
	}
	refuse = false
	h.enrolment("") // spent
	if err := a.once(t.Context()); err != nil || h.enrolled.Load() != 1 || a.unsaved != nil {
		t.Fatalf("error %v, enrolled %d times, kept %v", err, h.enrolled.Load(), a.unsaved)
	}
	a.unsaved = a.Signer()
	other := h.intermediate(0)
	h.write(ca.CACertsSecret, other)
	if err := a.once(t.Context()); err != nil || a.unsaved != nil || !a.Signer().Certificate().Equal(h.kept()) {
		t.Errorf("error %v; what another replica wrote is not in use", err)
	}
}
