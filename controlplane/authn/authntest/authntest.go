// SPDX-License-Identifier: Apache-2.0

// Package authntest is an API server as far as tokens go, for tests of what
// stands behind authn: it issues service account tokens and reviews them as a
// real one does. That it does is shown by authn's tests, which run the same
// cases against a real one.
package authntest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// APIServer issues and reviews tokens. It is safe for concurrent use.
type APIServer struct {
	key *ecdsa.PrivateKey
	now func() time.Time

	mu      sync.Mutex
	gone    map[string]bool
	reviews int
	fail    error
	delay   <-chan struct{}
}

// New returns an APIServer with a signing key of its own.
func New(now func() time.Time) *APIServer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return &APIServer{key: key, now: now, gone: map[string]bool{}}
}

// Token says what to issue.
type Token struct {
	Namespace, ServiceAccount string
	// Pod that the token is bound to, with its UID; none when empty.
	Pod, PodUID string
	// Audiences; {istio-ca} when nil, none at all when empty.
	Audiences []string
	// Life from now; one hour when zero, for ever when negative.
	Life time.Duration
}

type kubernetes struct {
	Namespace string `json:"namespace"`
	Account   named  `json:"serviceaccount"`
	Pod       *named `json:"pod,omitempty"`
}

type named struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

type private struct {
	Kubernetes kubernetes `json:"kubernetes.io"`
}

// Issue a token.
func (s *APIServer) Issue(t Token) string {
	claims := jwt.Claims{
		Issuer:   "https://kubernetes.default.svc",
		Subject:  "system:serviceaccount:" + t.Namespace + ":" + t.ServiceAccount,
		Audience: t.Audiences,
		IssuedAt: jwt.NewNumericDate(s.now()),
	}
	if t.Audiences == nil {
		claims.Audience = jwt.Audience{"istio-ca"}
	}
	if t.Life == 0 {
		t.Life = time.Hour
	}
	if t.Life > 0 {
		claims.Expiry = jwt.NewNumericDate(s.now().Add(t.Life))
	}
	k := kubernetes{Namespace: t.Namespace, Account: named{Name: t.ServiceAccount}}
	if t.Pod != "" {
		k.Pod = &named{Name: t.Pod, UID: t.PodUID}
	}
	return s.sign(claims, private{k})
}

func (s *APIServer) sign(claims ...any) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: s.key}, nil)
	if err != nil {
		panic(err)
	}
	b := jwt.Signed(signer)
	for _, c := range claims {
		b = b.Claims(c)
	}
	token, err := b.Serialize()
	if err != nil {
		panic(err)
	}
	return token
}

// DeletePod makes tokens that are bound to the pod worthless.
func (s *APIServer) DeletePod(uid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone[uid] = true
}

// Fail makes reviews fail with err until it is nil.
func (s *APIServer) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// Hold makes reviews wait until release is closed.
func (s *APIServer) Hold(release <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = release
}

// Reviews is how many reviews were asked for.
func (s *APIServer) Reviews() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reviews
}

// Create reviews a token, as a client-go client's TokenReviews() does.
func (s *APIServer) Create(ctx context.Context, review *authenticationv1.TokenReview, _ metav1.CreateOptions) (*authenticationv1.TokenReview, error) {
	s.mu.Lock()
	s.reviews++
	fail, delay := s.fail, s.delay
	s.mu.Unlock()
	if delay != nil {
		select {
		case <-delay:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if fail != nil {
		return nil, fail
	}
	out := review.DeepCopy()
	user, refusal := s.review(review.Spec)
	if refusal != "" {
		out.Status.Error = refusal
		return out, nil
	}
	out.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: *user, Audiences: review.Spec.Audiences}
	return out, nil
}

// review returns whose token it is, or why it is no good.
func (s *APIServer) review(spec authenticationv1.TokenReviewSpec) (user *authenticationv1.UserInfo, refusal string) {
	token, err := jwt.ParseSigned(spec.Token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return nil, "invalid bearer token"
	}
	var claims jwt.Claims
	var p private
	if err := token.Claims(s.key.Public(), &claims, &p); err != nil {
		return nil, "invalid bearer token"
	}
	if claims.Expiry != nil && !s.now().Before(claims.Expiry.Time()) {
		return nil, "token has expired"
	}
	if !slices.ContainsFunc(spec.Audiences, func(a string) bool { return slices.Contains(claims.Audience, a) }) {
		return nil, fmt.Sprintf("token audiences %q is invalid for the target audiences %q", claims.Audience, spec.Audiences)
	}
	user = &authenticationv1.UserInfo{Username: claims.Subject, Groups: []string{"system:serviceaccounts"}}
	if pod := p.Kubernetes.Pod; pod != nil {
		s.mu.Lock()
		gone := s.gone[pod.UID]
		s.mu.Unlock()
		if gone {
			return nil, "token is bound to a pod that no longer exists"
		}
		user.Extra = map[string]authenticationv1.ExtraValue{
			"authentication.kubernetes.io/pod-name": {pod.Name},
			"authentication.kubernetes.io/pod-uid":  {pod.UID},
		}
	}
	return user, ""
}
