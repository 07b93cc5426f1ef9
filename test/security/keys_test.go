// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// private keys as PEM with a body, and as members of JWKs.
var private = regexp.MustCompile(`PRIVATE KEY-----\s*(?:\\n)?[A-Za-z0-9+/]{40}|"(?:d|k|dp|dq|qi)"\s*:\s*"[A-Za-z0-9_-]{16,}"`)

// TestReplay12 (CVE-2026-31837): nothing that is built into the programs, or comes
// with the charts, has a private key in it, which everybody would have. What a
// token gets when its issuer's keys can't be had is in replays/b12.
func TestReplay12(t *testing.T) {
	files := 0
	for _, dir := range []string{"api", "charts", "cmd", "config", "controllers", "controlplane", "federation", "gateways"} {
		err := filepath.WalkDir(filepath.Join("..", "..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && d.Name() == "testdata" {
				return filepath.SkipDir
			}
			if d.IsDir() || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			files++
			if found := private.Find(text); found != nil {
				t.Errorf("%s has a private key: %.20s…", path, found)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 100 {
		t.Errorf("only %d files were read", files)
	}
	for name, text := range map[string]string{
		"PEM": "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIG1J8OeyPgsmiCvXhQqfj0cqcKO3iuTVeanZr1tAgMB",
		"JWK": `{"kty":"EC","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}`,
	} {
		if !private.MatchString(text) {
			t.Errorf("a private key in %s is not seen", name)
		}
	}
}
