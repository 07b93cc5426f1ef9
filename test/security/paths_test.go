// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/test/security"
)

// TestPathsThatTheApplicationSees is replay 3 at large: whatever a path is
// written like, in every mode of normalisation, the application is never sent
// one that the policies keep from it, nor one that it might take for such a one.
func TestPathsThatTheApplicationSees(t *testing.T) { newWorld(t).paths(t, "a sidecar") }

// TestPathsBehindIngress is the same at a gateway, which sees a path before
// its routes do.
func TestPathsBehindIngress(t *testing.T) { newGate(t, "ingress").paths(t, "an ingress gateway") }

// keeping are policies that keep /admin and what is below from everybody.
var keeping = map[string]string{
	"deny":      `spec: {action: DENY, rules: [{to: [{operation: {paths: ["/admin", "/admin/*"]}}]}]}`,
	"allow-not": `spec: {rules: [{to: [{operation: {notPaths: ["/admin", "/admin/*"]}}]}]}`,
	"template":  `spec: {action: DENY, rules: [{to: [{operation: {paths: ["/admin", "/admin/", "/admin/{**}"]}}]}]}`,
}

// spellings of paths, one in so many of them.
func spellings(share int) []string {
	var all, out []string
	for _, before := range []string{"/", "//", "/./", "/x/../", "/%2e/", "/x/%2E%2e/", `\`, `/\`, "/%5c", "/%2F", "/x%2f..%2f", "/x//../", "/;/", "/%252f"} {
		for _, name := range []string{"admin", "%61dmin", "adm%69n", "admi%6E", "Admin"} {
			for _, after := range []string{"", "/", "//", "/.", "/..", "?x", "#x", "%2f", "%5C", "%00", ";a", "/../admin", "/x", "%20", "%23"} {
				all = append(all, before+name+after)
			}
		}
	}
	for i := 0; i < len(all); i += share {
		out = append(out, all[i])
	}
	return out
}

func (w *world) paths(t *testing.T, place string) {
	t.Helper()
	paths := spellings(10)
	if *all {
		paths = spellings(1)
	}
	asked, let := 0, 0
	for _, mode := range []string{"NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"} {
		for name := range keeping {
			got, trespasses := w.asks(t, mode, name, paths)
			asked, let = asked+len(paths), let+got
			for _, trespass := range trespasses {
				t.Errorf("%s %s: %s", mode, name, trespass)
			}
		}
	}
	fmt.Printf("security: %d spellings of paths at %s, %d let through, none of them to what is kept\n", asked, place, let)
	// Where paths stay as they are written, applications that know better are reached.
	w.without = []string{"normalization"}
	for _, mode := range []string{"BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"} {
		if _, trespasses := w.asks(t, mode, "deny", paths); len(trespasses) == 0 {
			t.Errorf("%s: without normalisation nothing gets through either", mode)
		}
	}
	w.without = nil
}

// asks for paths under one of the policies: how many were let in, and what of
// it an application might take for what is kept.
func (w *world) asks(t *testing.T, mode, keeper string, paths []string) (let int, trespasses []string) {
	t.Helper()
	scenarios, err := security.Read(keeper, []byte(fmt.Sprintf("-- x policies --\nkind: PathNormalization\nmode: %s\n---\n%s", mode, keeping[keeper])), w.replacer())
	if err != nil {
		t.Fatal(err)
	}
	w.apply(&scenarios[0])
	clients := w.clients()
	defer clients.close()
	for _, path := range paths {
		status, answer, err := clients.request(security.Call{Port: "http-permissive", Caller: "plain", Method: "GET", Path: path, Host: "server"})
		if err != nil {
			t.Errorf("%s %s: %v", mode, path, err)
		}
		if status != security.Allowed {
			continue
		}
		let++
		seen := answer.Header.Get("x-path")
		if taken := understood(mode, seen); taken == "/admin" || strings.HasPrefix(taken, "/admin/") {
			trespasses = append(trespasses, fmt.Sprintf("%s reaches the application as %s, which is %s", path, seen, taken))
		}
	}
	return let, trespasses
}

// Characters that RFC 3986 lets nobody tell from their escapes.
var unreserved = regexp.MustCompile(`%(?:2[dDeE]|3[0-9]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aAeE])`)

// understood is a path as an application may take it that does the mode's own
// normalisation: none, RFC 3986 with backslashes as slashes, adjacent slashes as
// one, and escaped slashes as slashes.
func understood(mode, path string) string {
	path, _, _ = strings.Cut(path, "?")
	if mode == "DECODE_AND_MERGE_SLASHES" {
		path = strings.NewReplacer("%2F", "/", "%2f", "/", "%5C", `\`, "%5c", `\`).Replace(path)
	}
	if mode == "NONE" {
		return path
	}
	path = unreserved.ReplaceAllStringFunc(path, func(escape string) string {
		n, _ := strconv.ParseUint(escape[1:], 16, 8)
		return string(rune(n))
	})
	var parts []string
	written := strings.Split(strings.ReplaceAll(path, `\`, "/"), "/")
	for i, part := range written[1:] {
		last := i == len(written)-2
		switch part {
		case "..":
			parts = parts[:max(0, len(parts)-1)]
		case ".":
		default:
			parts = append(parts, part)
			continue
		}
		if last {
			parts = append(parts, "")
		}
	}
	path = "/" + strings.Join(parts, "/")
	for mode != "BASE" && strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return path
}
