// SPDX-License-Identifier: Apache-2.0

package authn_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/authn/authntest"
	"github.com/isthmesh/isthmesh/federation/trust"
)

func newTokens(t testing.TB, reviews authn.Reviewer, c *authntest.Clock, limits authn.Limits) authn.Authenticator {
	t.Helper()
	return must[authn.Authenticator](t)(authn.New(authn.Options{
		TrustDomain: west, Roots: func() trust.Bundle { return nil }, Reviews: reviews, Now: c.Now, Limits: limits,
	}))
}

func with(ctx context.Context, authorization ...string) context.Context {
	return metadata.NewIncomingContext(ctx, metadata.MD{"authorization": authorization})
}

func from(ctx context.Context, address string) context.Context {
	return peer.NewContext(ctx, &peer.Peer{Addr: &net.TCPAddr{IP: net.ParseIP(address), Port: 1234}})
}

func TestToken(t *testing.T) {
	c := &authntest.Clock{}
	api, foreign := authntest.New(c.Now), authntest.New(c.Now)
	issue := func(t authntest.Token) string {
		t.Namespace, t.ServiceAccount = "shop", "cart"
		return "Bearer " + api.Issue(t)
	}
	good := issue(authntest.Token{Pod: "cart-0", PodUID: "uid-0"})
	gone := issue(authntest.Token{Pod: "cart-1", PodUID: "uid-1"})
	api.DeletePod("uid-1")

	for name, test := range map[string]struct {
		headers []string
		pod     string
		err     string
	}{
		"Bound":             {[]string{good}, "cart-0", ""},
		"NotBound":          {[]string{issue(authntest.Token{})}, "", ""},
		"LowerCaseScheme":   {[]string{"bearer " + strings.TrimPrefix(good, "Bearer ")}, "cart-0", ""},
		"TwoAudiences":      {[]string{issue(authntest.Token{Audiences: []string{"istio-ca", "vault"}})}, "", ""},
		"None":              {nil, "", "no credentials"},
		"Empty":             {[]string{""}, "", "not of the form"},
		"OnlyScheme":        {[]string{"Bearer "}, "", "not of the form"},
		"Basic":             {[]string{"Basic YTpi"}, "", "not of the form"},
		"Garbage":           {[]string{"Bearer hello"}, "", "not a signed JWT"},
		"NotSigned":         {[]string{"Bearer eyJhbGciOiJub25lIn0.eyJhdWQiOiJpc3Rpby1jYSJ9."}, "", "not a signed JWT"},
		"HMAC":              {[]string{"Bearer eyJhbGciOiJIUzI1NiJ9.eyJhdWQiOiJpc3Rpby1jYSJ9.AAAA"}, "", "not a signed JWT"},
		"TwoHeaders":        {[]string{good, good}, "", "more than one authorization header"},
		"OtherAudience":     {[]string{issue(authntest.Token{Audiences: []string{"vault"}})}, "", "another audience"},
		"LegacyNoAudience":  {[]string{issue(authntest.Token{Audiences: []string{}, Life: -1})}, "", "legacy tokens"},
		"NeverExpires":      {[]string{issue(authntest.Token{Life: -1})}, "", "never expires"},
		"Expired":           {[]string{issue(authntest.Token{Life: time.Nanosecond})}, "", "token expired at"},
		"OtherCluster":      {[]string{"Bearer " + foreign.Issue(authntest.Token{Namespace: "shop", ServiceAccount: "cart"})}, "", "refused by the API server"},
		"PodDeleted":        {[]string{gone}, "", "no longer exists"},
		"Huge":              {[]string{"Bearer " + strings.Repeat("a", 1<<20)}, "", "longer than"},
		"SignatureSwapped":  {[]string{good[:len(good)-8] + "AAAAAAAA"}, "", "refused by the API server"},
		"WildcardInAccount": {[]string{"Bearer " + api.Issue(authntest.Token{Namespace: "shop", ServiceAccount: "*"})}, "", "service account"},
		"SlashInAccount":    {[]string{"Bearer " + api.Issue(authntest.Token{Namespace: "shop", ServiceAccount: "a/sa/b"})}, "", "service account"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newTokens(t, api, c, authn.Limits{})
			caller, err := a.Authenticate(with(t.Context(), test.headers...))
			if test.err != "" {
				wantStatus(t, err, codes.Unauthenticated, test.err)
				for _, h := range test.headers {
					if _, token, _ := strings.Cut(h, " "); len(token) > 8 && strings.Contains(err.Error(), token) {
						t.Error("the error quotes the token")
					}
				}
				return
			}
			wantStatus(t, err, codes.OK, "")
			want := &authn.Caller{
				Identity: spiffeid.RequireFromString(cart), Namespace: "shop", ServiceAccount: "cart", PodName: test.pod, NotAfter: caller.NotAfter,
			}
			if test.pod != "" {
				want.PodUID = "uid-0"
			}
			if diff := cmp.Diff(want, caller, sameCaller); diff != "" {
				t.Errorf("caller differs (-want +got):\n%s", diff)
			}
			if left := caller.NotAfter.Sub(c.Now()); left < 59*time.Minute || left > time.Hour {
				t.Errorf("the proof is good for %s, the token for one hour", left)
			}
		})
	}
}

// answers is a Reviewer that says one thing.
type answers struct {
	status authenticationv1.TokenReviewStatus
	err    func(token string) error
}

func (a answers) Create(_ context.Context, r *authenticationv1.TokenReview, _ metav1.CreateOptions) (*authenticationv1.TokenReview, error) {
	if a.err != nil {
		return nil, a.err(r.Spec.Token)
	}
	return &authenticationv1.TokenReview{Status: a.status}, nil
}

// TestReviewIsReadStrictly: odd answers of an API server are no proof.
func TestReviewIsReadStrictly(t *testing.T) {
	c := &authntest.Clock{}
	token := authntest.New(c.Now).Issue(authntest.Token{Namespace: "shop", ServiceAccount: "cart"})
	yes := func(user string, audiences ...string) answers {
		return answers{status: authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: user}, Audiences: audiences}}
	}
	for name, test := range map[string]struct {
		reviews authn.Reviewer
		code    codes.Code
		err     string
	}{
		"Good":             {yes("system:serviceaccount:shop:cart", "istio-ca"), codes.OK, ""},
		"NoAudience":       {yes("system:serviceaccount:shop:cart"), codes.Unauthenticated, "does not confirm audience"},
		"OtherAudience":    {yes("system:serviceaccount:shop:cart", "api"), codes.Unauthenticated, "does not confirm audience"},
		"User":             {yes("alice", "istio-ca"), codes.Unauthenticated, "not to a service account"},
		"NoName":           {yes("system:serviceaccount:shop", "istio-ca"), codes.Unauthenticated, "not to a service account"},
		"EmptyName":        {yes("system:serviceaccount:shop:", "istio-ca"), codes.Unauthenticated, "service account"},
		"EmptyNamespace":   {yes("system:serviceaccount::cart", "istio-ca"), codes.Unauthenticated, "service account"},
		"Node":             {yes("system:node:n1", "istio-ca"), codes.Unauthenticated, "not to a service account"},
		"Admin":            {yes("admin:system:serviceaccount:shop:cart", "istio-ca"), codes.Unauthenticated, "not to a service account"},
		"DownQuotingToken": {answers{err: func(token string) error { return errors.New("dial: " + token) }}, codes.Unavailable, "could not be reviewed by the API server: dial: [redacted]"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newTokens(t, test.reviews, c, authn.Limits{}).Authenticate(with(t.Context(), "Bearer "+token))
			wantStatus(t, err, test.code, test.err)
			if err != nil && strings.Contains(err.Error(), token) {
				t.Error("the error quotes the token")
			}
		})
	}
}

// TestReviewsAreCached counts the reviews that a series of calls costs.
func TestReviewsAreCached(t *testing.T) {
	c := &authntest.Clock{}
	api := authntest.New(c.Now)
	a := newTokens(t, api, c, authn.Limits{CacheTTL: time.Minute, CacheSize: 8, PeerBurst: 1000, Burst: 1000})
	token := func(life time.Duration, uid string) string {
		return "Bearer " + api.Issue(authntest.Token{Namespace: "shop", ServiceAccount: "cart", Pod: "p", PodUID: uid, Life: life})
	}
	reviews := func(what string, want int, header string, code codes.Code, times int) {
		t.Helper()
		before := api.Reviews()
		for range times {
			_, err := a.Authenticate(with(t.Context(), header))
			wantStatus(t, err, code, "")
		}
		if got := api.Reviews() - before; got != want {
			t.Errorf("%s: %d reviews for %d calls, want %d", what, got, times, want)
		}
	}

	long := token(time.Hour, "1")
	reviews("first and again", 1, long, codes.OK, 50)
	c.Advance(61 * time.Second)
	reviews("after the cache's time", 1, long, codes.OK, 2)

	short := token(10*time.Second, "2")
	reviews("short token", 1, short, codes.OK, 2)
	c.Advance(11 * time.Second)
	reviews("expired token", 0, short, codes.Unauthenticated, 2)

	bound := token(time.Hour, "3")
	reviews("bound token", 1, bound, codes.OK, 1)
	api.DeletePod("3")
	reviews("deleted pod within the cache's time", 0, bound, codes.OK, 1)
	c.Advance(61 * time.Second)
	reviews("deleted pod later", 1, bound, codes.Unauthenticated, 3)
	c.Advance(1001 * time.Millisecond)
	reviews("refused token after a second", 1, bound, codes.Unauthenticated, 1)

	for i := range 20 {
		reviews("another token", 1, token(time.Hour, "x"+string(rune('a'+i))), codes.OK, 1)
	}
	reviews("pushed out of the full cache", 1, long, codes.OK, 1)

	down := token(time.Hour, "4")
	api.Fail(errors.New("connection refused"))
	reviews("API server down", 3, down, codes.Unavailable, 3)
	reviews("API server down, known token", 0, long, codes.OK, 1)
	api.Fail(nil)
	reviews("API server back", 1, down, codes.OK, 2)
}

// TestCallersDoNotShareTheirCaller: what one call does with its Caller does not reach the next.
func TestCallersDoNotShareTheirCaller(t *testing.T) {
	c := &authntest.Clock{}
	api := authntest.New(c.Now)
	a := newTokens(t, api, c, authn.Limits{})
	header := "Bearer " + api.Issue(authntest.Token{Namespace: "shop", ServiceAccount: "cart"})
	for range 3 {
		caller, err := a.Authenticate(with(t.Context(), header))
		wantStatus(t, err, codes.OK, "")
		if caller.Namespace != "shop" {
			t.Fatalf("namespace is %q", caller.Namespace)
		}
		caller.Namespace = "kube-system"
	}
}

// TestOneReviewForAllWhoWait: many at once with one token cost one review,
// and one who goes away doesn't take the others' answer along.
func TestOneReviewForAllWhoWait(t *testing.T) {
	c := &authntest.Clock{}
	api := authntest.New(c.Now)
	release := make(chan struct{})
	api.Hold(release)
	a := newTokens(t, api, c, authn.Limits{PeerBurst: 100})
	header := "Bearer " + api.Issue(authntest.Token{Namespace: "shop", ServiceAccount: "cart"})

	impatient, goAway := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	errs := make(chan error, 21)
	left := make(chan struct{})
	go func() {
		defer close(left)
		_, err := a.Authenticate(with(impatient, header))
		wantStatus(t, err, codes.Canceled, "")
	}()
	for range 20 {
		wg.Go(func() {
			_, err := a.Authenticate(with(t.Context(), header))
			errs <- err
		})
	}
	waitFor(t, func() bool { return api.Reviews() == 1 })
	goAway()
	<-left // before there is an answer that it might take
	close(release)
	wg.Wait()
	close(errs)
	for err := range errs {
		wantStatus(t, err, codes.OK, "")
	}
	if n := api.Reviews(); n != 1 {
		t.Errorf("%d reviews for one token at one time", n)
	}
}

func waitFor(t testing.TB, done func() bool) {
	t.Helper()
	tick, late := time.NewTicker(time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("what was waited for did not come in a minute")
		}
	}
}

func TestReviewsAreLimited(t *testing.T) {
	c := &authntest.Clock{}
	api := authntest.New(c.Now)
	token := func() string {
		return "Bearer " + api.Issue(authntest.Token{Namespace: "shop", ServiceAccount: "cart", Pod: "p", PodUID: c.Now().String()})
	}
	a := newTokens(t, api, c, authn.Limits{PeerPerSecond: 1e-6, PeerBurst: 3, PerSecond: 1e-6, Burst: 5})
	codesOf := func(address string, n int) (out []codes.Code) {
		for range n {
			_, err := a.Authenticate(with(from(t.Context(), address), token()))
			out = append(out, status.Code(err))
		}
		return out
	}
	ok, refused := codes.OK, codes.ResourceExhausted
	if diff := cmp.Diff([]codes.Code{ok, ok, ok, refused, refused}, codesOf("10.0.0.1", 5)); diff != "" {
		t.Errorf("one address:\n%s", diff)
	}
	if diff := cmp.Diff([]codes.Code{ok, ok, refused}, codesOf("10.0.0.2", 3)); diff != "" {
		t.Errorf("another address, within what is left for all:\n%s", diff)
	}
	if n := api.Reviews(); n != 5 {
		t.Errorf("%d reviews, want 5", n)
	}
}

func TestReviewTimesOut(t *testing.T) {
	c := &authntest.Clock{}
	api := authntest.New(c.Now)
	release := make(chan struct{})
	defer close(release)
	api.Hold(release)
	a := newTokens(t, api, c, authn.Limits{Timeout: 20 * time.Millisecond})
	start := time.Now()
	_, err := a.Authenticate(with(t.Context(), "Bearer "+api.Issue(authntest.Token{Namespace: "shop", ServiceAccount: "cart"})))
	wantStatus(t, err, codes.Unavailable, "could not be reviewed")
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

// TestTokenBesideCertificate: a proxy that shows a certificate that doesn't
// count here is known by its token; with neither, both causes are told.
func TestTokenBesideCertificate(t *testing.T) {
	root := newRoot(t)
	p := newPort(t, root.intermediate(t, "west.shop.example"), root.cert)
	eastLeaf := root.intermediate(t, "east.shop.example").leaf(t, nil, "spiffe://east.shop.example/ns/shop/sa/cart")
	token := "Bearer " + p.api.Issue(authntest.Token{Namespace: "shop", ServiceAccount: "cart"})
	for name, test := range map[string]struct {
		cert   *tls.Certificate
		header []string
		code   codes.Code
		err    []string
	}{
		"Token":               {nil, []string{token}, codes.OK, nil},
		"TokenAndForeignCert": {eastLeaf, []string{token}, codes.OK, nil},
		"BothBad":             {eastLeaf, []string{"Bearer x"}, codes.Unauthenticated, []string{"east.shop.example", "not a signed JWT"}},
	} {
		t.Run(name, func(t *testing.T) {
			caller, err := p.call(t, p.dial(t, p.bundle(), test.cert), test.header...)
			wantStatus(t, err, test.code, "")
			for _, fragment := range test.err {
				wantStatus(t, err, test.code, fragment)
			}
			if err == nil && caller.Identity.String() != cart {
				t.Errorf("caller is %q", caller.Identity)
			}
		})
	}
}
