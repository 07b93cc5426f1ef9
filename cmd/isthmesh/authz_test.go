// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

const guarded = translated + `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: readers, namespace: shop}
spec: {rules: [{from: [{source: {namespaces: [web]}}], to: [{operation: {methods: [GET]}}]}]}
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
`

func TestAuthzCheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "objects.yaml")
	if err := os.WriteFile(file, []byte(guarded), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		want []string
		fail string
	}{
		"List":     {[]string{"shop/reviews-1"}, []string{"ALLOW   shop/readers\n", "shop/broken  (can't be had, so it denies)\n        spec.rules[0].when[0].key: attribute \"nonsense\" is unknown", "DENY    shop/trial  (dry run)\n", "takes calls in plaintext too"}, ""},
		"Allowed":  {[]string{"shop/reviews-1", "--port", "8080", "--from", "cluster.local/ns/web/sa/page"}, []string{"ALLOWED: allowed by ns[shop]-policy[readers]-rule[0]\ndry run of ns[shop]-policy[trial]-rule[0]\n"}, ""},
		"Denied":   {[]string{"shop/reviews-1", "--port", "8080", "--from", "cluster.local/ns/web/sa/page", "--method", "POST"}, []string{"DENIED: no ALLOW policy matches"}, ""},
		"Plain":    {[]string{"shop/reviews-1", "--port", "8080"}, []string{"DENIED: no ALLOW policy matches"}, ""},
		"BadToken": {[]string{"shop/reviews-1", "--header", "x"}, nil, ""},
		"NoPod":    {[]string{"shop/nobody"}, nil, "no pod shop/nobody"},
		"Header":   {[]string{"shop/reviews-1", "--port", "8080", "--header", "x"}, nil, "not name=value"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			c := newAuthzCheckCommand(genericiooptions.IOStreams{Out: &out, ErrOut: &out}, genericclioptions.NewConfigFlags(true))
			c.SilenceUsage, c.SilenceErrors = true, true
			c.SetArgs(append(test.args, "-f", file))
			err := c.Execute()
			if (err != nil) != (test.fail != "") || err != nil && !strings.Contains(err.Error(), test.fail) {
				t.Fatalf("%v", err)
			}
			for _, w := range test.want {
				if !strings.Contains(out.String(), w) {
					t.Errorf("want %q in\n%s", w, out.String())
				}
			}
		})
	}
}
