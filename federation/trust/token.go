// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// tokenPrefix lets people and secret scanners tell an enrolment token from other credentials.
const tokenPrefix = "isthmesh-enrol-"

const tokenBytes = 32

// Why an enrolment token is refused. CheckToken's errors match them by errors.Is.
var (
	ErrTokenWrong   = errors.New("enrolment token is not the one that was issued")
	ErrTokenSpent   = errors.New("enrolment token was used already")
	ErrTokenExpired = errors.New("enrolment token has expired")
)

// NewToken makes an enrolment token of 256 random bits that is safe in URLs,
// YAML and shells.
func NewToken(rand io.Reader) (Secret, error) {
	b := make([]byte, tokenBytes)
	if _, err := io.ReadFull(rand, b); err != nil {
		return Secret{}, fmt.Errorf("read randomness for enrolment token: %w", err)
	}
	return NewSecret([]byte(tokenPrefix + base64.RawURLEncoding.EncodeToString(b))), nil
}

// HashToken is what the hub keeps of a token: its SHA-256 in hex. A token has
// so much entropy that nothing slower is needed.
func HashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// TokenRecord is what the hub knows of the last token that it issued to a member.
type TokenRecord struct {
	// Hash by HashToken; empty when there is none (any more).
	Hash string
	// NotAfter is when it expires.
	NotAfter time.Time
	// SpentAt is when it was used; zero when it was not.
	SpentAt time.Time
}

// CheckToken returns nil when the token is the recorded one, unspent and in
// time, else an error that is ErrTokenWrong, ErrTokenSpent or ErrTokenExpired.
// A caller who doesn't hold the token learns nothing about its state, except
// that a record without a hash says whether one was spent.
func CheckToken(token string, record TokenRecord, now time.Time) error {
	switch {
	case record.Hash == "" && !record.SpentAt.IsZero():
		return ErrTokenSpent
	case record.Hash == "", !wellFormed(token),
		subtle.ConstantTimeCompare([]byte(HashToken(token)), []byte(record.Hash)) != 1:
		return ErrTokenWrong
	case !record.SpentAt.IsZero():
		return ErrTokenSpent
	case !now.Before(record.NotAfter):
		return fmt.Errorf("%w (it was good until %s)", ErrTokenExpired, record.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

func wellFormed(token string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimPrefix(token, tokenPrefix))
	return err == nil && strings.HasPrefix(token, tokenPrefix) && len(b) == tokenBytes
}
