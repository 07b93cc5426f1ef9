// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/isthmesh/isthmesh/test/golden"
)

const guardedObjects = translated + `
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "extensionProviders: [{name: opa, envoyExtAuthzGrpc: {service: opa.opa.svc.cluster.local, port: 9191}}]"}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: readers, namespace: shop}
spec: {rules: [{from: [{source: {namespaces: [web]}}], to: [{operation: {methods: [GET]}}]}, {when: [{key: "request.auth.claims[group]", values: [staff]}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: broken, namespace: shop}
spec: {rules: [{when: [{key: nonsense, values: [x]}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: trial, namespace: shop, annotations: {istio.io/dry-run: "true"}}
spec: {action: DENY, rules: [{}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-admin, namespace: istio-system}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/admin*]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: seen, namespace: shop}
spec: {action: AUDIT, rules: [{to: [{operation: {methods: [DELETE]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec: {action: CUSTOM, provider: {name: opa}, rules: [{to: [{operation: {paths: [/orders]}}]}]}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: staff, namespace: shop}
spec: {jwtRules: [{issuer: "https://issuer", jwks: '{"keys": []}'}]}
`

// authzCheck runs the command on objects.
func authzCheck(t *testing.T, objects string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	file := filepath.Join(t.TempDir(), "objects.yaml")
	if err := os.WriteFile(file, []byte(objects), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newAuthzCheckCommand(genericiooptions.IOStreams{Out: &out, ErrOut: &out}, genericclioptions.NewConfigFlags(true))
	c.SilenceUsage, c.SilenceErrors = true, true
	c.SetArgs(append(args, "-f", file))
	err := c.Execute()
	return out.String(), err
}

func TestAuthzCheck(t *testing.T) {
	const page = "cluster.local/ns/web/sa/page"
	var calls []string
	for name, args := range map[string][]string{
		"List":     {},
		"Allowed":  {"--from", page},
		"Method":   {"--from", page, "--method", "POST"},
		"Denied":   {"--from", page, "--path", "/admin/x"},
		"Plain":    {"--source-ip", "10.0.0.1", "--host", "reviews"},
		"BadToken": {"--from", page, "--bad-token"},
		"Token":    {"--claim", "iss=https://issuer", "--claim", "group=all", "--claim", "group=staff", "--method", "DELETE"},
		"Issuer":   {"--claim", "iss=https://other"},
		"Asks":     {"--from", page, "--path", "/orders"},
		"Path":     {"--from", page, "--path", "/a//b/%2e%2e/admin"},
	} {
		args := append([]string{"shop/reviews-1"}, args...)
		if name != "List" {
			args = append(args, "--port", "8080")
		}
		got, err := authzCheck(t, guardedObjects, args...)
		if err != nil {
			t.Fatal(err)
		}
		if name == "List" {
			golden.File(t, filepath.Join("testdata", "authz-list.txt"), got)
			continue
		}
		calls = append(calls, "## "+strings.Join(args[1:], " ")+"\n"+got[strings.Index(got, "Call:"):])
	}
	slices.Sort(calls)
	golden.File(t, filepath.Join("testdata", "authz-calls.txt"), strings.Join(calls, "\n"))
}

func TestAuthzCheckMore(t *testing.T) {
	strictMode := guardedObjects + "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: shop}\nspec: {mtls: {mode: %s}}\n"
	for name, test := range map[string]struct {
		objects string
		args    []string
		want    string
	}{
		"Nothing":     {translated, []string{"shop/reviews-1", "--port", "8080"}, "No policy applies: every call is allowed.\n"},
		"Strict":      {strings.Replace(strictMode, "%s", "STRICT", 1), []string{"shop/reviews-1", "--port", "8080"}, "DENIED: PeerAuthentication STRICT takes mutual TLS only"},
		"UnknownPort": {guardedObjects, []string{"shop/reviews-1", "--port", "9999"}, "Note: no Service leads to port 9999 of the pod"},
		"Namespace":   {guardedObjects, []string{"reviews-1"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := authzCheck(t, test.objects, test.args...)
			if name == "Namespace" {
				if err == nil || !strings.Contains(err.Error(), "a pod of that name is in namespace shop: choose it with --namespace") {
					t.Error(err)
				}
				return
			}
			if err != nil || !strings.Contains(got, test.want) {
				t.Errorf("no %q in\n%s\n%v", test.want, got, err)
			}
		})
	}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"NoPod":   {[]string{"shop/nobody"}, "there is no pod shop/nobody that runs; there are "},
		"Header":  {[]string{"shop/reviews-1", "--port", "8080", "--header", "x"}, "not name=value"},
		"Claim":   {[]string{"shop/reviews-1", "--port", "8080", "--claim", "x"}, "not name=value"},
		"Address": {[]string{"shop/reviews-1", "--port", "8080", "--source-ip", "here"}, "no address"},
		"From":    {[]string{"shop/reviews-1", "--port", "8080", "--from", "page"}, "no identity"},
		"Format":  {[]string{"shop/reviews-1", "-o", "yaml"}, "use text or json"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := authzCheck(t, guardedObjects, test.args...); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v", err)
			}
		})
	}
	text, err := authzCheck(t, guardedObjects, "shop/reviews-1", "--port", "8080", "-o", "json")
	var r authzReport
	if err != nil || json.Unmarshal([]byte(text), &r) != nil || r.Call.Decision != "DENIED" || r.Call.Status != 403 || len(r.Policies) != 7 {
		t.Errorf("%v\n%s", err, text)
	}
}
