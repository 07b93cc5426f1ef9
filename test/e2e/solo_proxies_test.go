// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

const proxyConfigs = `
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: all, namespace: shop}
spec:
  concurrency: 3
  environmentVariables: {TEAM: blue, COLOUR: red}
---
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: server, namespace: shop}
spec:
  selector: {matchLabels: {app: server}}
  concurrency: 1
  environmentVariables: {COLOUR: green}
  image: {imageType: debug}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: flush, namespace: shop}
spec:
  workloadSelector: {labels: {app: server}}
  configPatches:
  - applyTo: BOOTSTRAP
    patch: {operation: MERGE, value: {stats_flush_interval: 7s}}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: mistaken, namespace: shop}
spec:
  workloadSelector: {labels: {app: server}}
  configPatches:
  - applyTo: BOOTSTRAP
    patch: {operation: MERGE, value: {layered_runtime: {layers: [{name: ""}]}}}
`

// proxyConfig: what ProxyConfigs and patches of the bootstrap say holds for the pods that are made
// after them, and for no others; a patch that Envoy refuses keeps none from starting.
func (m *soloMesh) proxyConfig(t *testing.T) {
	type proxy struct{ concurrency, team, colour, flush string }
	of := func(app string) proxy {
		pod := proxyPod{"solo", "shop", app}
		variable := func(name string) string {
			return kubectl(t, "solo", "-n", "shop", "get", "pods", "-l", "app="+app, "--field-selector=status.phase=Running", "-o",
				`jsonpath={.items[0].spec.initContainers[?(@.name=="istio-proxy")].env[?(@.name=="`+name+`")].value}`)
		}
		return proxy{
			concurrency: field(pod.ask(t, "server_info"), "concurrency"), team: variable("TEAM"), colour: variable("COLOUR"),
			flush: field(pod.ask(t, "config_dump?mask=bootstrap"), "stats_flush_interval"),
		}
	}
	before := of("client")
	soloApply(t, proxyConfigs)
	tells(t, "proxyconfig/server", "NotSupported", `no proxy image of type "debug"`)
	if now := of("client"); now != before {
		t.Errorf("a pod that runs: %+v, was %+v", now, before)
	}
	renew(t, "server", "client")
	for app, want := range map[string]proxy{"server": {"1", "blue", "green", `"7s"`}, "client": {"3", "blue", "red", before.flush}} {
		eventually(t, patience, app+" has what is configured", func() error {
			if got := of(app); got != want {
				return fmt.Errorf("%+v, want %+v", got, want)
			}
			return nil
		})
	}
	tells(t, "envoyfilter/mistaken", "RejectedByProxy", "RuntimeLayer.Name")
	if said := condition(t, "envoyfilter/flush"); strings.HasPrefix(said, "False") {
		t.Errorf("the patch that holds: %s", said)
	}
	kubectl(t, "solo", "-n", "shop", "delete", "envoyfilter", "flush", "mistaken")
	kubectl(t, "solo", "-n", "shop", "delete", "proxyconfig", "all", "server")
}

// field of JSON as Envoy prints it, a line for each.
func field(text, name string) string {
	_, rest, found := strings.Cut(text, `"`+name+`": `)
	if !found {
		return ""
	}
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSuffix(strings.TrimSpace(line), ",")
}

// contains is nil when a text has a part.
func contains(text, part string) error {
	if !strings.Contains(text, part) {
		return fmt.Errorf("no %q in\n%s", part, text)
	}
	return nil
}
