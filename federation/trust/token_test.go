// SPDX-License-Identifier: Apache-2.0

package trust_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/federation/trust"
)

func newToken(t testing.TB) string {
	t.Helper()
	return string(must[trust.Secret](t)(trust.NewToken(rand.Reader)).Reveal())
}

func TestNewToken(t *testing.T) {
	a, b := newToken(t), newToken(t)
	if a == b {
		t.Error("two tokens are equal")
	}
	// 43 characters of base64 hold 256 bits, and none needs escaping in a URL.
	if !regexp.MustCompile(`^isthmesh-enrol-[A-Za-z0-9_-]{43}$`).MatchString(a) {
		t.Errorf("token has another form than documented (length %d)", len(a))
	}
	if _, err := trust.NewToken(bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("a token was made of too little randomness")
	}
	if h := trust.HashToken(a); len(h) != 64 || strings.Contains(h, a) {
		t.Errorf("hash is %q", h)
	}
}

func TestCheckToken(t *testing.T) {
	token, other := newToken(t), newToken(t)
	good := trust.TokenRecord{Hash: trust.HashToken(token), NotAfter: now.Add(time.Hour)}
	spent := good
	spent.SpentAt = now.Add(-time.Minute)
	for name, test := range map[string]struct {
		token  string
		record trust.TokenRecord
		at     time.Time
		want   error
	}{
		"Good":               {token, good, now, nil},
		"LastMoment":         {token, good, now.Add(time.Hour - 1), nil},
		"Expired":            {token, good, now.Add(time.Hour), trust.ErrTokenExpired},
		"NeverGood":          {token, trust.TokenRecord{Hash: good.Hash}, now, trust.ErrTokenExpired},
		"Spent":              {token, spent, now, trust.ErrTokenSpent},
		"SpentAndExpired":    {token, spent, now.Add(day), trust.ErrTokenSpent},
		"SpentAndForgotten":  {token, trust.TokenRecord{SpentAt: now}, now, trust.ErrTokenSpent},
		"Wrong":              {other, good, now, trust.ErrTokenWrong},
		"WrongOfSpentOne":    {other, spent, now, trust.ErrTokenWrong},
		"WrongOfExpiredOne":  {other, good, now.Add(day), trust.ErrTokenWrong},
		"NoneIssued":         {token, trust.TokenRecord{}, now, trust.ErrTokenWrong},
		"EmptyAndNoneIssued": {"", trust.TokenRecord{NotAfter: now.Add(time.Hour)}, now, trust.ErrTokenWrong},
		"Empty":              {"", good, now, trust.ErrTokenWrong},
		"HashOfEmpty":        {"", trust.TokenRecord{Hash: trust.HashToken(""), NotAfter: now.Add(time.Hour)}, now, trust.ErrTokenWrong},
		"ItsHash":            {good.Hash, good, now, trust.ErrTokenWrong},
		"WithoutPrefix":      {strings.TrimPrefix(token, "isthmesh-enrol-"), good, now, trust.ErrTokenWrong},
		"Longer":             {token + "A", good, now, trust.ErrTokenWrong},
		"WithNewline":        {token + "\n", good, now, trust.ErrTokenWrong},
	} {
		t.Run(name, func(t *testing.T) {
			err := trust.CheckToken(test.token, test.record, test.at)
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if err != nil && test.token != "" && strings.Contains(err.Error(), test.token) {
				t.Error("the error quotes the token")
			}
		})
	}
}
