// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"context"
	"crypto/sha256"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/util/cache"
)

var errNoToken = errors.New("no bearer token")

// Limits of what unknown callers can make the API server do.
type Limits struct {
	// Timeout of one review; 5 s when zero.
	Timeout time.Duration
	// CacheTTL is how long a good answer is believed, so that a proxy that opens
	// several streams costs one review; 30 s when zero. A token of a deleted pod
	// works for as long.
	CacheTTL time.Duration
	// CacheSize is how many answers are kept, good and bad ones each; 4096 when zero.
	CacheSize int
	// PerSecond and Burst of reviews in all; 200 and 400 when zero.
	PerSecond float64
	Burst     int
	// PeerPerSecond and PeerBurst of reviews for one client address, so that one
	// can't use up everybody's; 5 and 20 when zero.
	PeerPerSecond float64
	PeerBurst     int
}

// refusedTTL is how long a refused token is refused without another review.
const refusedTTL = time.Second

func (l Limits) withDefaults() Limits {
	set(&l.Timeout, 5*time.Second)
	set(&l.CacheTTL, 30*time.Second)
	set(&l.CacheSize, 4096)
	set(&l.PerSecond, 200)
	set(&l.Burst, 400)
	set(&l.PeerPerSecond, 5)
	set(&l.PeerBurst, 20)
	return l
}

func set[T comparable](field *T, standard T) {
	var zero T
	if *field == zero {
		*field = standard
	}
}

// tokens authenticates by a service account token.
type tokens struct {
	trustDomain spiffeid.TrustDomain
	reviews     Reviewer
	now         func() time.Time
	limits      Limits

	accepted *cache.LRUExpireCache // of *Caller by hash of the token
	refused  *cache.LRUExpireCache // of error by hash of the token
	peers    *cache.LRUExpireCache // of *rate.Limiter by address
	all      *rate.Limiter
	flights  singleflight.Group
}

type clock func() time.Time

func (c clock) Now() time.Time { return c() }

func newTokens(o Options) *tokens {
	l := o.Limits.withDefaults()
	return &tokens{
		trustDomain: o.TrustDomain,
		reviews:     o.Reviews,
		now:         o.Now,
		limits:      l,
		accepted:    cache.NewLRUExpireCacheWithClock(l.CacheSize, clock(o.Now)),
		refused:     cache.NewLRUExpireCacheWithClock(l.CacheSize, clock(o.Now)),
		peers:       cache.NewLRUExpireCacheWithClock(l.CacheSize, clock(o.Now)),
		all:         rate.NewLimiter(rate.Limit(l.PerSecond), l.Burst),
	}
}

func (t *tokens) authenticate(ctx context.Context) (*Caller, error) {
	token, err := bearer(ctx)
	if err != nil {
		return nil, err
	}
	claims, err := readClaims(token, t.now())
	if err != nil {
		return nil, err
	}
	key := sha256.Sum256([]byte(token))
	if known, ok := t.accepted.Get(key); ok {
		caller := *known.(*Caller)
		return &caller, nil
	}
	if known, ok := t.refused.Get(key); ok {
		return nil, known.(error)
	}
	if err := t.admit(ctx); err != nil {
		return nil, err
	}
	return t.ask(ctx, token, key, claims)
}

// ask has the token reviewed, once for all who show it at the same time.
func (t *tokens) ask(ctx context.Context, token string, key [sha256.Size]byte, claims claims) (*Caller, error) {
	done := t.flights.DoChan(string(key[:]), func() (any, error) {
		// The review is for everybody who waits, so it doesn't end with the first of them.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.limits.Timeout)
		defer cancel()
		caller, err := review(ctx, t.reviews, token, t.trustDomain)
		switch {
		case err == nil:
			caller.NotAfter = claims.expiry
			t.accepted.Add(key, caller, min(t.limits.CacheTTL, claims.expiry.Sub(t.now())))
		case errors.Is(err, errRefused):
			t.refused.Add(key, err, refusedTTL)
		}
		return caller, err
	})
	select {
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	case result := <-done:
		if result.Err != nil {
			return nil, result.Err
		}
		caller := *result.Val.(*Caller)
		return &caller, nil
	}
}

// admit keeps reviews within their limits.
func (t *tokens) admit(ctx context.Context) error {
	now := t.now()
	if !t.peer(address(ctx)).AllowN(now, 1) {
		return status.Error(codes.ResourceExhausted, "too many tokens from this address: try again in a second")
	}
	if !t.all.AllowN(now, 1) {
		return status.Error(codes.ResourceExhausted, "too many tokens to review: try again in a second")
	}
	return nil
}

func (t *tokens) peer(address string) *rate.Limiter {
	if known, ok := t.peers.Get(address); ok {
		return known.(*rate.Limiter)
	}
	limiter := rate.NewLimiter(rate.Limit(t.limits.PeerPerSecond), t.limits.PeerBurst)
	t.peers.Add(address, limiter, time.Minute)
	return limiter
}

func address(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return ""
	}
	host, _, err := net.SplitHostPort(p.Addr.String())
	if err != nil {
		return p.Addr.String()
	}
	return host
}

// bearer returns the token of the call's authorization header.
func bearer(ctx context.Context) (string, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	headers := md.Get("authorization")
	switch len(headers) {
	case 0:
		return "", errNoToken
	case 1:
	default:
		return "", errors.New("more than one authorization header")
	}
	scheme, token, ok := strings.Cut(headers[0], " ")
	if token = strings.TrimSpace(token); !ok || !strings.EqualFold(scheme, "bearer") || token == "" {
		return "", errors.New("authorization header is not of the form Bearer <token>")
	}
	return token, nil
}
