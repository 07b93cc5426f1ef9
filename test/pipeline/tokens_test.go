// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// tokens of one issuer, i.
type tokens struct {
	t      *testing.T
	signer jose.Signer
	set    string
}

func newTokens(t *testing.T) tokens {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), Algorithm: "RS256"}}})
	if err != nil {
		t.Fatal(err)
	}
	return tokens{t, signer, string(set)}
}

func (k tokens) token(team any) string {
	k.t.Helper()
	text, err := jwt.Signed(k.signer).Claims(map[string]any{"iss": "i", "sub": "s", "team": team, "exp": time.Now().Add(time.Hour).Unix()}).Serialize()
	if err != nil {
		k.t.Fatal(err)
	}
	return text
}
