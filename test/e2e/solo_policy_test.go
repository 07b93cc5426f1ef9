// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// authorizer: the Open Policy Agent in pods decides, as docs/policies.md says; without it the
// answer is no, or yes where failOpen says so.
func (m *soloMesh) authorizer(t *testing.T) {
	objects, err := os.ReadFile(filepath.Join(root, "test/opa/opa.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	kubectl(t, "solo", "create", "namespace", "opa")
	kubectl(t, "solo", "-n", "opa", "create", "configmap", "policy", "--from-file", filepath.Join(root, "test/opa/shop.rego"))
	soloApply(t, string(objects))
	kubectl(t, "solo", "-n", "opa", "rollout", "status", "deployment/opa", "--timeout=10m")
	const policy = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask-opa, namespace: shop}
spec:
  selector: {matchLabels: {app: server}}
  action: CUSTOM
  provider: {name: opa}
  rules: [{to: [{operation: {paths: ["/shop/*"]}}]}]
`
	asked := func(a answer) bool {
		return a.header.Get("X-Checked-By") == "opa" && a.seen.Get("X-Allowed-As") == "visitor"
	}
	denied := func(a answer) bool { return a.header.Get("X-Denied-By") == "opa" }
	unheard := func(a answer) bool { return !denied(a) && !asked(a) }
	soloApply(t, policy)
	m.soon(t, "OPA lets visitors in", http.StatusOK, asked, "/shop/cups")
	m.soon(t, "OPA refuses who is banned", http.StatusForbidden, denied, "/shop/cups", "X-Visitor=banned")
	m.soon(t, "OPA isn't asked of other paths", http.StatusOK, unheard, "/other", "X-Visitor=banned")

	kubectl(t, "solo", "-n", "opa", "scale", "deployment/opa", "--replicas=0")
	kubectl(t, "solo", "-n", "opa", "wait", "--for=delete", "pod", "-l", "app=opa", "--timeout=10m")
	m.soon(t, "without OPA the answer is no", http.StatusForbidden, unheard, "/shop/cups")
	m.soon(t, "other paths go on", http.StatusOK, unheard, "/other")
	soloApply(t, strings.Replace(policy, "name: opa}", "name: opa-open}", 1))
	m.soon(t, "with failOpen the answer is yes", http.StatusOK, unheard, "/shop/cups")
	kubectl(t, "solo", "-n", "opa", "scale", "deployment/opa", "--replicas=1")
	m.soon(t, "OPA is back", http.StatusForbidden, denied, "/shop/cups", "X-Visitor=banned")
	kubectl(t, "solo", "-n", "shop", "delete", "authorizationpolicy", "ask-opa")
	m.soon(t, "without a policy", http.StatusOK, unheard, "/shop/cups", "X-Visitor=banned")

	eventually(t, patience, "the server's access log has the refusal", func() error {
		return contains(kubectl(t, "solo", "-n", "shop", "logs", "deployment/server", "-c", "istio-proxy"), `"GET /shop/cups HTTP/1.1" 403 UAEX ext_authz_`)
	})
}
