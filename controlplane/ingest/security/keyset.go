// SPDX-License-Identifier: Apache-2.0

package security

import (
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// maxKeySet bounds what is sent to proxies.
const maxKeySet = 256 << 10

// sound is false for an RSA key that Envoy's library (BoringSSL) takes for none:
// one of another size than 512 to 16384 bits, or with an exponent that no key has.
func sound(key any) bool {
	private, ok := key.(*rsa.PrivateKey)
	if ok {
		key = &private.PublicKey
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return true
	}
	bits := public.N.BitLen()
	return bits >= 512 && bits <= 16384 && public.N.Bit(0) == 1 && public.E > 1 && public.E&1 == 1 && public.E < 1<<33
}

// keySet reads a JSON Web Key Set (RFC 7517) and writes the keys of it that can
// verify tokens, without their private parts. It is an error when there is none.
// Envoy refuses a whole listener for a key set that it can't read.
func keySet(text string) (string, error) {
	if len(text) > maxKeySet {
		return "", fmt.Errorf("the key set is larger than %d bytes", maxKeySet)
	}
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		return "", errors.New("the key set is not JSON with a list of keys")
	}
	var set jose.JSONWebKeySet
	for _, raw := range document.Keys {
		var key jose.JSONWebKey
		// A key of a kind that is not known doesn't spoil the others (RFC 7517, section 5).
		if key.UnmarshalJSON(raw) != nil || !key.Valid() || !sound(key.Key) {
			continue
		}
		switch key.Key.(type) {
		case []byte:
		default:
			if key = key.Public(); key.Key == nil {
				continue
			}
		}
		key.Certificates, key.CertificatesURL = nil, nil
		key.CertificateThumbprintSHA1, key.CertificateThumbprintSHA256 = nil, nil
		set.Keys = append(set.Keys, key)
	}
	if len(set.Keys) == 0 {
		return "", errors.New("the key set has no key that can be used")
	}
	out, err := json.Marshal(set)
	if err != nil {
		return "", errors.New("the key set can't be written")
	}
	return string(out), nil
}
