// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/test/proxywasm"
)

// moduleRegistry is a registry of images on the machine, which can be gone and come back.
type moduleRegistry struct {
	*proxywasm.Registry
	address string
	server  *httptest.Server
}

// openRegistry with modules of two names, for who has the password.
func openRegistry(t *testing.T, host string) *moduleRegistry {
	t.Helper()
	r := &moduleRegistry{Registry: &proxywasm.Registry{User: "shop", Password: "open sesame", Token: true}, address: net.JoinHostPort(host, "0")}
	for _, name := range []string{"tenant", "edge"} {
		r.Push("team/"+name, "v1", proxywasm.OCI, proxywasm.Module{Header: "x-" + name, Value: "yes", Counter: name}.Bytes())
	}
	r.open(t)
	t.Cleanup(func() { r.server.Close() })
	return r
}

// open listens, always at the same address.
func (r *moduleRegistry) open(t *testing.T) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	r.address = listener.Addr().String()
	r.server = httptest.NewUnstartedServer(r.Registry)
	r.server.Listener.Close()
	r.server.Listener = listener
	r.server.Start()
}

// secret with the password, in a namespace.
func (r *moduleRegistry) secret(namespace string) string {
	auth := base64.StdEncoding.EncodeToString([]byte(r.User + ":" + r.Password))
	config := fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, r.address, auth)
	return fmt.Sprintf("---\napiVersion: v1\nkind: Secret\nmetadata: {name: registry, namespace: %s}\ntype: kubernetes.io/dockerconfigjson\ndata: {.dockerconfigjson: %s}\n",
		namespace, base64.StdEncoding.EncodeToString([]byte(config)))
}

// plugin of a module for the proxies with a label.
func (r *moduleRegistry) plugin(namespace, module, label, strategy string) string {
	return fmt.Sprintf(`---
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  selector: {matchLabels: {%[3]s}}
  url: oci://%[5]s/team/%[2]s:v1
  imagePullSecret: registry
  failStrategy: %[4]s
`, namespace, module, label, strategy, r.address)
}

// plugins: modules out of a registry at a sidecar and at a gateway, while its password isn't known, while
// it is gone and the control plane begins anew, and when it is back.
func (m *soloMesh) plugins(t *testing.T) {
	by := func(names ...string) func(answer) bool {
		return func(a answer) bool {
			for _, n := range names {
				if a.header.Get("X-"+n) != "yes" {
					return false
				}
			}
			return true
		}
	}
	soloApply(t, m.registry.plugin("shop", "tenant", "app: server", "FAIL_CLOSE"))
	tells(t, "wasmplugin/tenant", "ModuleUnavailable", "Secret shop/registry")
	m.soon(t, "without the module nothing passes", http.StatusServiceUnavailable, nil, "/")

	soloApply(t, m.registry.secret("shop")+m.registry.secret("istio-system")+m.registry.plugin("istio-system", "edge", "istio: ingressgateway", "FAIL_CLOSE"))
	m.soon(t, "modules run at the sidecar and at the gateway", http.StatusOK, by("tenant", "edge"), "/")
	eventually(t, patience, "nothing is wrong any more", func() error {
		if said := condition(t, "wasmplugin/tenant"); said != "" && !strings.HasPrefix(said, "True") {
			return fmt.Errorf("%s", said)
		}
		return nil
	})

	// There is no such module, and calls go on without it.
	soloApply(t, m.registry.plugin("shop", "unknown", "app: server", "FAIL_OPEN"))
	tells(t, "wasmplugin/unknown", "ModuleUnavailable", "team/unknown")
	m.soon(t, "calls go on", http.StatusOK, by("tenant", "edge"), "/")

	// Proxies that have their modules keep them, whoever begins anew.
	m.registry.server.Close()
	end := steady(func() error {
		a, err := m.ask("/")
		if err == nil && (a.status != http.StatusOK || !by("tenant", "edge")(a)) {
			err = fmt.Errorf("%d %v", a.status, a.header)
		}
		return err
	})
	kubectl(t, "solo", "-n", "istio-system", "rollout", "restart", "deployment/istiod")
	kubectl(t, "solo", "-n", "istio-system", "rollout", "status", "deployment/istiod", "--timeout=10m")
	tells(t, "wasmplugin/tenant", "ModuleUnavailable", m.registry.address)
	if asked, err := end(); err != nil {
		t.Errorf("of %d requests while the registry was gone and the control plane began anew some failed: %v", asked, err)
	}
	// A new pod has no module, and says no.
	renew(t, "server")
	m.soon(t, "a new pod has no module", http.StatusServiceUnavailable, nil, "/")
	m.registry.open(t)
	m.soon(t, "the registry is back", http.StatusOK, by("tenant", "edge"), "/")
	for _, plugin := range []string{"tenant", "unknown"} {
		kubectl(t, "solo", "-n", "shop", "delete", "wasmplugin", plugin)
	}
	kubectl(t, "solo", "-n", "istio-system", "delete", "wasmplugin", "edge")
	m.soon(t, "without plugins", http.StatusOK, func(a answer) bool { return !by("tenant")(a) && !by("edge")(a) }, "/")
}
