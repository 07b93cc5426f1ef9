// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/test/security"
)

// TestPathsThatTheApplicationSees is replay 3 at large: whatever a path is
// written like, in every mode of normalisation, the application is never sent
// one that the policies keep from it.
func TestPathsThatTheApplicationSees(t *testing.T) { newWorld(t).paths(t, "a sidecar") }

// TestPathsBehindIngress is the same at a gateway, which sees a path before
// its routes do.
func TestPathsBehindIngress(t *testing.T) { newGate(t, "ingress").paths(t, "an ingress gateway") }

func (w *world) paths(t *testing.T, place string) {
	t.Helper()
	var paths []string
	for _, before := range []string{"/", "//", "/./", "/x/../", "/%2e/", "/x/%2E%2e/", `\`, `/\`, "/%5c", "/%2F", "/x%2f..%2f", "/x//../", "/;/", "/%252f"} {
		for _, name := range []string{"admin", "%61dmin", "adm%69n", "admi%6E", "Admin"} {
			for _, after := range []string{"", "/", "//", "/.", "/..", "?x", "#x", "%2f", "%5C", "%00", ";a", "/../admin", "/x", "%20", "%23"} {
				paths = append(paths, before+name+after)
			}
		}
	}
	asked, let := 0, 0
	for _, mode := range []string{"NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"} {
		for name, policies := range map[string]string{
			"deny":      `spec: {action: DENY, rules: [{to: [{operation: {paths: ["/admin", "/admin/*"]}}]}]}`,
			"allow-not": `spec: {rules: [{to: [{operation: {notPaths: ["/admin", "/admin/*"]}}]}]}`,
			"template":  `spec: {action: DENY, rules: [{to: [{operation: {paths: ["/admin", "/admin/", "/admin/{**}"]}}]}]}`,
		} {
			scenarios, err := security.Read(name, []byte(fmt.Sprintf("-- x policies --\nkind: PathNormalization\nmode: %s\n---\n%s", mode, policies)), w.replacer())
			if err != nil {
				t.Fatal(err)
			}
			w.apply(&scenarios[0])
			clients := w.clients()
			for i, path := range paths {
				if !*all && i%10 != 0 {
					continue
				}
				status, answer, err := clients.request(security.Call{Port: "http-permissive", Caller: "plain", Method: "GET", Path: path, Host: "server"})
				if err != nil {
					t.Errorf("%s %s %s: %v", mode, name, path, err)
					continue
				}
				asked++
				if status != security.Allowed {
					continue
				}
				let++
				seen, _, _ := strings.Cut(answer.Header.Get("x-path"), "?")
				if seen == "/admin" || strings.HasPrefix(seen, "/admin/") {
					t.Errorf("%s %s: %s reaches the application as %s", mode, name, path, seen)
				}
			}
			clients.close()
		}
	}
	fmt.Printf("security: %d spellings of paths at %s, %d let through, none of them to what is kept\n", asked, place, let)
}
