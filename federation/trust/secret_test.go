// SPDX-License-Identifier: Apache-2.0

package trust_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"

	"github.com/davecgh/go-spew/spew"
	"github.com/go-logr/logr/funcr"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/federation/trust"
)

type exported struct {
	Secret trust.Secret
	Key    trust.PrivateKey
	PS     *trust.Secret
	PK     *trust.PrivateKey
}

type unexported struct {
	secret trust.Secret
	key    trust.PrivateKey
	ps     *trust.Secret
	pk     *trust.PrivateKey
	any    any
}

// pointing is unexported behind pointers, where a verb that fits no pointer
// has fmt print what the pointer holds.
type pointing struct {
	one    *unexported
	two    **unexported
	many   []*unexported
	array  [1]*unexported
	named  map[string]*unexported
	secret **trust.Secret
	key    **trust.PrivateKey
}

func point(u unexported) *pointing {
	one := &u
	return &pointing{one, &one, []*unexported{one}, [1]*unexported{one}, map[string]*unexported{"u": one}, &u.ps, &u.pk}
}

// printers are the ways in which values get into logs, errors, status and dumps.
func printers() map[string]func(any) string {
	out := map[string]func(any) string{
		"JSON": func(v any) string { b, err := json.Marshal(v); return string(b) + fmt.Sprint(err) },
		"YAML": func(v any) string { b, err := yaml.Marshal(v); return string(b) + fmt.Sprint(err) },
		"Spew": func(v any) string { return spew.Sdump(v) + spew.Sprintf("%#+v", v) },
		"SlogText": func(v any) string {
			var b bytes.Buffer
			slog.New(slog.NewTextHandler(&b, nil)).Info("m", "v", v)
			return b.String()
		},
		"SlogJSON": func(v any) string {
			var b bytes.Buffer
			slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "v", v)
			return b.String()
		},
		"Logr": func(v any) string {
			var b strings.Builder
			funcr.New(func(_, args string) { b.WriteString(args) }, funcr.Options{}).Info("m", "v", v)
			return b.String()
		},
		"Error": func(v any) string { return fmt.Errorf("wrapped: %v", v).Error() },
		"Print": func(v any) string { return fmt.Sprint(v) + fmt.Sprintln(v) },
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%o", "%T|%v", "%[1]v"} {
		out["Fmt"+verb] = func(v any) string {
			if strings.Contains(verb, "|") {
				return fmt.Sprintf(verb, v, v)
			}
			return fmt.Sprintf(verb, v)
		}
	}
	return out
}

// spellings of key material that a printer might use.
func spellings(b []byte) []string {
	decimal := strings.Trim(fmt.Sprint(b), "[]")
	return []string{
		string(b), hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)),
		base64.StdEncoding.EncodeToString(b)[:20], base64.RawURLEncoding.EncodeToString(b)[:20],
		decimal, strings.ReplaceAll(decimal, " ", ","), strings.ReplaceAll(decimal, " ", ", "),
		fmt.Sprintf("% x", b), strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", b), "[]byte{"), "}"),
	}
}

// verbs are all that fmt has, and one that it hasn't, with every flag that
// changes how bytes are spelled.
func verbs() []string {
	var out []string
	for _, flag := range []string{"", "+", "#", " ", "+#", "# ", "0", "-40"} {
		for _, verb := range "vTtbcdoOqxXUeEfFgGspwz" {
			out = append(out, "%"+flag+string(verb))
		}
	}
	return out
}

// nested are the places where a Secret and a PrivateKey may lie.
func nested(secret trust.Secret, key trust.PrivateKey) map[string]any {
	hidden := unexported{secret, key, &secret, &key, key}
	return map[string]any{
		"Secret": secret, "PointerToSecret": &secret, "Key": key, "PointerToKey": &key,
		"Exported": exported{secret, key, &secret, &key}, "PointerToExported": &exported{secret, key, &secret, &key},
		"Unexported": hidden, "PointerToUnexported": &unexported{secret, key, &secret, &key, secret},
		"Pointing": *point(hidden), "PointerToPointing": point(hidden),
		"Slice": []any{secret, key}, "Map": map[string]any{"secret": secret, "key": key},
		"MapKey": map[string]trust.Secret{"k": secret},
	}
}

// TestNoVerbPrintsSecrets compares with what the same verb makes of the key
// material itself, as a string, as bytes, and as a number.
func TestNoVerbPrintsSecrets(t *testing.T) {
	raw := []byte("correct-horse-battery-staple")
	secret := trust.NewSecret(raw)
	ec := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	// The bytes of this one are not behind a pointer of its own, as numbers are.
	ed := ed25519.NewKeyFromSeed(bytes.Repeat([]byte("seed"), 8))

	for kind, c := range map[string]struct {
		key      trust.PrivateKey
		material []byte
	}{
		"Secret":  {trust.NewPrivateKey(ec), raw},
		"ECDSA":   {trust.NewPrivateKey(ec), must[[]byte](t)(ec.Bytes())},
		"Ed25519": {trust.NewPrivateKey(ed), ed.Seed()},
	} {
		number := new(big.Int).SetBytes(c.material)
		forbidden := append(spellings(c.material), number.String())
		for place, value := range nested(secret, c.key) {
			for _, verb := range verbs() {
				out := fmt.Sprintf(verb, value)
				spelled := forbidden
				for _, m := range []any{string(c.material), c.material, number} {
					if text := strings.Trim(strings.TrimSpace(fmt.Sprintf(verb, m)), "[]"); len(text) > len(raw)/2 {
						spelled = append(spelled[:len(spelled):len(spelled)], text)
					}
				}
				for _, f := range spelled {
					if strings.Contains(out, f) {
						t.Errorf("%s of %s prints the material of %s: %s", verb, place, kind, out)
						break
					}
				}
			}
		}
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	raw := []byte("correct-horse-battery-staple")
	secret := trust.NewSecret(raw)
	ec := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	scalar := must[[]byte](t)(ec.Bytes())
	key := trust.NewPrivateKey(ec)
	root := newRoot(t)
	rootPEM := must[trust.Secret](t)(root.Key.PEM())

	forbidden := append(spellings(raw), spellings(scalar)...)
	forbidden = append(forbidden, ec.D.String(), "PRIVATE KEY", string(rootPEM.Reveal()[40:60])) //nolint:staticcheck // the number a dump would show

	values := nested(secret, key)
	values["Root"], values["RootValue"] = root, *root
	for name, value := range values {
		for printer, print := range printers() {
			t.Run(name+"/"+printer, func(t *testing.T) {
				out := print(value)
				for _, f := range forbidden {
					if strings.Contains(out, f) {
						t.Fatalf("key material printed: %s", out)
					}
				}
			})
		}
	}
}

func TestSecretRedactsItself(t *testing.T) {
	for name, got := range map[string]string{
		"Secret": fmt.Sprintf("%#v", trust.NewSecret([]byte("x"))),
		"Key":    fmt.Sprintf("%s", newKey(t)),
		"Zero":   fmt.Sprintf("%v", trust.Secret{}),
	} {
		if got != "[redacted]" {
			t.Errorf("%s prints as %q", name, got)
		}
	}
	if b := must[[]byte](t)(json.Marshal(trust.NewSecret([]byte("x")))); string(b) != `"[redacted]"` {
		t.Errorf("JSON is %s", b)
	}
}

func TestSecretKeepsItsOwnCopy(t *testing.T) {
	raw := []byte("abc")
	s := trust.NewSecret(raw)
	raw[0] = 'z'
	if got := string(s.Reveal()); got != "abc" {
		t.Errorf("secret changed to %q", got)
	}
	if (trust.Secret{}).Reveal() != nil {
		t.Error("the zero Secret holds something")
	}
}
