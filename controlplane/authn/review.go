// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/federation/trust"
)

// Reviewer asks an API server about a token. A client-go client's
// AuthenticationV1().TokenReviews() is one.
type Reviewer interface {
	Create(ctx context.Context, review *authenticationv1.TokenReview, o metav1.CreateOptions) (*authenticationv1.TokenReview, error)
}

// errRefused: the API server was asked, and the token is no good.
var errRefused = errors.New("token refused")

// Keys that API servers fill in for tokens that are bound to a pod.
const (
	podNameKey = "authentication.kubernetes.io/pod-name"
	podUIDKey  = "authentication.kubernetes.io/pod-uid"
)

const accountPrefix = "system:serviceaccount:"

// review returns who the API server says the token belongs to. Errors match
// errRefused, or are a gRPC status when the API server could not be asked.
func review(ctx context.Context, reviews Reviewer, token string, td spiffeid.TrustDomain) (*Caller, error) {
	answer, err := reviews.Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{Audience}},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, status.Errorf(codes.Unavailable, "token could not be reviewed by the API server: %s", withoutToken(err, token))
	}
	s := answer.Status
	switch {
	case !s.Authenticated && s.Error != "":
		return nil, fmt.Errorf("%w by the API server: %s", errRefused, withoutToken(errors.New(s.Error), token))
	case !s.Authenticated:
		return nil, fmt.Errorf("%w by the API server", errRefused)
	case !slices.Contains(s.Audiences, Audience):
		return nil, fmt.Errorf("%w: the API server does not confirm audience %s", errRefused, Audience)
	}
	namespace, account, ok := strings.Cut(strings.TrimPrefix(s.User.Username, accountPrefix), ":")
	if !ok || !strings.HasPrefix(s.User.Username, accountPrefix) {
		return nil, fmt.Errorf("%w: it belongs to %q, not to a service account", errRefused, s.User.Username)
	}
	id, err := trust.WorkloadID(td, namespace, account)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRefused, err)
	}
	return &Caller{
		Identity: id, Namespace: namespace, ServiceAccount: account,
		PodName: only(s.User.Extra[podNameKey]), PodUID: only(s.User.Extra[podUIDKey]),
	}, nil
}

func only(values []string) string {
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

// withoutToken keeps an error from quoting the token.
func withoutToken(err error, token string) string {
	return strings.ReplaceAll(err.Error(), token, "[redacted]")
}
