// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// What a user gets wrong about a member ends as a condition with a cause and a
// mend on that member; the others go on.
func TestBadMembers(t *testing.T) {
	west, err := os.ReadFile(kubeconfig("west"))
	if err != nil {
		t.Fatal(err)
	}
	with := func(old, replacement string) string { return strings.ReplaceAll(string(west), old, replacement) }
	server := kubectl(t, "west", "config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
	token := kubectl(t, "west", "-n", "default", "create", "token", "default")

	cases := map[string]struct {
		kubeconfig string // "" makes no Secret
		condition  string
		reason     string
		says       []string
	}{
		"missing":    {"", "Reachable", "KubeconfigSecretNotFound", []string{"bad-missing-kubeconfig"}},
		"malformed":  {"{not yaml", "Reachable", "KubeconfigInvalid", []string{"bad-malformed-kubeconfig"}},
		"loopback":   {with(server, "https://127.0.0.1:6443"), "Reachable", "LoopbackAPIServer", []string{"127.0.0.1"}},
		"dead":       {with(server, "https://"+deadAddress+":6443"), "Reachable", "APIServerUnreachable", []string{deadAddress}},
		"rightless":  {tokenKubeconfig(string(west), server, token), "Reachable", "Forbidden", nil},
		"same":       {string(west), "Reachable", "ClusterAlreadyMember", []string{"west"}},
		"stranger":   {tokenKubeconfig(string(west), server, "not-a-token"), "Reachable", "Unauthorized", nil},
		"no-context": {with("current-context: ", "current-context: no-such-"), "Reachable", "KubeconfigInvalid", []string{"no-such-"}},
	}
	for name, c := range cases {
		var objects strings.Builder
		if c.kubeconfig != "" {
			fmt.Fprintf(&objects, "apiVersion: v1\nkind: Secret\nmetadata: {name: bad-%s-kubeconfig, namespace: default}\nstringData:\n  kubeconfig: |\n%s\n---\n",
				name, indent(c.kubeconfig, "    "))
		}
		fmt.Fprintf(&objects, "apiVersion: federation.isthmesh.dev/v1alpha1\nkind: MeshMember\nmetadata: {name: bad-%[1]s, namespace: default, labels: {mesh: shop}}\n"+
			"spec: {kubeconfigSecretRef: {name: bad-%[1]s-kubeconfig}, unreachableTimeout: 1s}\n", name)
		apply(t, "hub", objects.String())
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			eventually(t, patience, "the condition tells", func() error {
				get := func(field string) string {
					return kubectl(t, "hub", "get", "meshmember", "bad-"+name, "-o", fmt.Sprintf(`jsonpath={.status.conditions[?(@.type=="%s")].%s}`, c.condition, field))
				}
				reason, message := get("reason"), get("message")
				if reason != c.reason {
					return fmt.Errorf("%s: %s: %s", c.condition, reason, message)
				}
				for _, s := range c.says {
					if !strings.Contains(message, s) {
						return fmt.Errorf("the message doesn't name %q: %s", s, message)
					}
				}
				t.Logf("%s: %s", reason, message)
				return nil
			})
		})
	}
	for _, m := range []string{"east", "west"} {
		kubectl(t, "hub", "wait", "--for=condition=Ready", "meshmember/"+m, "--timeout=10m")
	}
	mustCall(t, "west", "shop", "client", "http://catalog.shop/", "--count", "20")
}

// deadAddress is in the lab's own network, where nobody lives.
const deadAddress = "10.211.250.250"

// tokenKubeconfig is a kubeconfig of the same cluster with a token for a user.
func tokenKubeconfig(from, server, token string) string {
	ca := ""
	for line := range strings.Lines(from) {
		if strings.Contains(line, "certificate-authority-data:") {
			ca = strings.TrimSpace(line)
		}
	}
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: x
contexts: [{name: x, context: {cluster: x, user: x}}]
clusters:
- name: x
  cluster:
    server: %s
    %s
users: [{name: x, user: {token: %s}}]`, server, ca, token)
}

// What the API itself can refuse is refused there, with a message that names the field.
func TestAPIRefuses(t *testing.T) {
	cases := map[string]struct {
		object string
		says   string
	}{
		"UnknownField":    {`{"kind":"MeshMember","metadata":{"name":"x"},"spec":{"kubeconfigSecretRef":{"name":"x"},"netwrok":"y"}}`, ".spec.netwrok: field not declared in schema"},
		"NoSource":        {`{"kind":"MeshMember","metadata":{"name":"x"},"spec":{"network":"y"}}`, "exactly one of kubeconfigSecretRef and clusterRef"},
		"TwoSources":      {`{"kind":"MeshMember","metadata":{"name":"x"},"spec":{"kubeconfigSecretRef":{"name":"x"},"clusterRef":{"name":"x"}}}`, "exactly one of kubeconfigSecretRef and clusterRef"},
		"BadName":         {`{"kind":"MeshMember","metadata":{"name":"x.y"},"spec":{"kubeconfigSecretRef":{"name":"x"}}}`, "part of its trust domain"},
		"BadTraffic":      {`{"kind":"MeshMember","metadata":{"name":"x"},"spec":{"kubeconfigSecretRef":{"name":"x"},"traffic":"Off"}}`, "spec.traffic"},
		"BadTrustDomain":  {`{"kind":"MeshFederation","metadata":{"name":"x"},"spec":{"trust":{"domain":"Shop/Example"}}}`, "spec.trust.domain"},
		"TwoRoots":        {`{"kind":"MeshFederation","metadata":{"name":"x"},"spec":{"trust":{"domain":"x.example","root":{"selfSigned":{},"secretRef":{"name":"y"}}}}}`, "not both"},
		"ReplicasNotText": {`{"kind":"MeshFederation","metadata":{"name":"x"},"spec":{"trust":{"domain":"x.example"},"eastWestGateway":{"replicas":"two"}}}`, "spec.eastWestGateway.replicas"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			object := strings.Replace(c.object, `{"kind"`, `{"apiVersion":"federation.isthmesh.dev/v1alpha1","kind"`, 1)
			_, err := run(t.Context(), object, "kubectl", "--kubeconfig", kubeconfig("hub"), "apply", "--server-side", "--dry-run=server", "-f", "-")
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want a refusal that says %q", err, c.says)
			}
		})
	}
}

// A chart value of the wrong type is refused with a message that names it. One
// that got past the webhook ends as a condition that names it; what runs goes
// on, and the right value mends it.
func TestBadChartValue(t *testing.T) {
	const webhook = "validatingwebhookconfiguration/isthmesh-hub"
	patch := func(values string) []string {
		return []string{"patch", "meshfederation", "shop", "--type=merge", "-p", `{"spec":{"controlPlane":{"values":` + values + `}}}`}
	}
	const wrong = `{"replicaCount":"two"}`
	// The hub may have put its caBundle there only just now.
	eventually(t, patience, "the API server refuses the value", func() error {
		_, err := try(t, "hub", append(patch(wrong), "--dry-run=server")...)
		if err == nil || !strings.Contains(err.Error(), `"replicaCount" is wrong: got string, want integer`) {
			return fmt.Errorf("got another answer: %w", err)
		}
		return nil
	})

	before := generations(t, "west")
	was := kubectl(t, "hub", "get", webhook, "-o", "json")
	t.Cleanup(func() {
		kubectl(t, "hub", patch("null")...)
		kubectl(t, "hub", "wait", "--for=condition=Ready", "meshfederation/shop", "--timeout=10m")
	})
	bypass(t, webhook, was, func() error {
		_, err := try(t, "hub", patch(wrong)...)
		return err
	})
	eventually(t, patience, "the members' conditions tell", func() error {
		for _, m := range []string{"east", "west"} {
			message := kubectl(t, "hub", "get", "meshmember", m, "-o", `jsonpath={.status.conditions[?(@.reason=="ValuesInvalid")].message}`)
			if !strings.Contains(message, "replicaCount") {
				return fmt.Errorf("%s says %q", m, message)
			}
		}
		return nil
	})
	mustCall(t, "west", "shop", "client", "http://catalog.shop/", "--count", "100")
	if after := generations(t, "west"); after != before {
		t.Errorf("a refused value changed west:\n%s\nbefore:\n%s", after, before)
	}
}

// bypass takes the hub's webhook away until something is done, and puts it back as it was.
func bypass(t *testing.T, webhook, was string, do func() error) {
	t.Helper()
	kubectl(t, "hub", "delete", webhook)
	defer func() {
		var object map[string]any
		if err := json.Unmarshal([]byte(was), &object); err != nil {
			t.Fatal(err)
		}
		if meta, ok := object["metadata"].(map[string]any); ok {
			delete(meta, "resourceVersion")
			delete(meta, "uid")
			delete(meta, "managedFields")
		}
		back, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		// Not by apply(), which deletes it when the test ends.
		if _, err := run(t.Context(), string(back), "kubectl", "--kubeconfig", kubeconfig("hub"), "create", "-f", "-"); err != nil {
			t.Error(err)
		}
	}()
	eventually(t, patience, "the API server asks no webhook any more", do)
}
