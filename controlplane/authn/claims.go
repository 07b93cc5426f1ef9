// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// maxToken is several times the size of a real one.
const maxToken = 16 << 10

// algorithms that API servers sign with. The signature is the API server's to
// check; this only tells JWTs from other things.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512, jose.PS256, jose.PS384, jose.PS512, jose.EdDSA,
}

// claims are what a token says of itself. They only ever refuse it.
type claims struct{ expiry time.Time }

// readClaims refuses without a review what the API server could not accept
// either, and tokens that it might accept but must not count here: those
// without audience, which old Secrets hold and which never expire.
func readClaims(token string, now time.Time) (claims, error) {
	if len(token) > maxToken {
		return claims{}, fmt.Errorf("token is longer than %d bytes", maxToken)
	}
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		return claims{}, errors.New("token is not a signed JWT") // the cause may quote the token
	}
	var c jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&c); err != nil {
		return claims{}, errors.New("token's claims are not readable")
	}
	switch {
	case len(c.Audience) == 0:
		return claims{}, fmt.Errorf("token has no audience: legacy tokens are not taken, use a projected token of audience %s", Audience)
	case !slices.Contains(c.Audience, Audience):
		return claims{}, fmt.Errorf("token is for another audience than %s", Audience)
	case c.Expiry == nil:
		return claims{}, errors.New("token never expires: use a projected token")
	case !now.Before(c.Expiry.Time()):
		return claims{}, fmt.Errorf("token expired at %s", c.Expiry.Time().UTC().Format(time.RFC3339))
	}
	return claims{expiry: c.Expiry.Time()}, nil
}
