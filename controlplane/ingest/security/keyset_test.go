// SPDX-License-Identifier: Apache-2.0

package security

import (
	"strings"
	"testing"
)

// modulus is one of 2048 bits, as RFC 7517 writes it.
const modulus = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"

// TestKeySet leaves out the keys that Envoy can't read: it would refuse the
// listener for one of them.
func TestKeySet(t *testing.T) {
	key := func(n, e string) string { return `{"kty":"RSA","alg":"RS256","n":"` + n + `","e":"` + e + `"}` }
	for name, test := range map[string]struct {
		keys []string
		want int
	}{
		"Fine":     {[]string{key(modulus, "AQAB")}, 1},
		"Short":    {[]string{key("AQAB", "AQAB")}, 0},
		"Even":     {[]string{key(modulus[:len(modulus)-2]+"Kg", "AQAB")}, 0},
		"EvenE":    {[]string{key(modulus, "AQAA")}, 0},
		"One":      {[]string{key(modulus, "AQ")}, 0},
		"OneOfTwo": {[]string{key("AQAB", "AQAB"), key(modulus, "AQAB")}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := keySet(`{"keys":[` + strings.Join(test.keys, ",") + `]}`)
			if n := strings.Count(got, `"kty"`); n != test.want || (err == nil) != (test.want > 0) {
				t.Errorf("%d keys are left, want %d: %v", n, test.want, err)
			}
		})
	}
}
