// SPDX-License-Identifier: Apache-2.0

package proxyconfig_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/proxyconfig"
)

func TestVariable(t *testing.T) {
	cases := map[string]struct {
		name, value string
		reason      string
		set         bool
	}{
		"Any":           {name: "GODEBUG", value: "x", set: true},
		"Metadata":      {name: "ISTIO_META_DNS_CAPTURE", value: "false", set: true},
		"Agents":        {name: "MINIMUM_DRAIN_DURATION", value: "10s", set: true},
		"Empty":         {name: "A", set: true},
		"Identity":      {name: "TRUST_DOMAIN", value: "x", reason: "NotSupported"},
		"Node":          {name: "ISTIO_META_NAMESPACE", value: "x", reason: "NotSupported"},
		"Loader":        {name: "LD_PRELOAD", value: "x", reason: "NotSupported"},
		"KnownToIstio":  {name: "OUTPUT_CERTS", value: "/x", reason: "NotSupported", set: true},
		"NoName":        {name: "", reason: "Invalid"},
		"Digit":         {name: "1A", reason: "Invalid"},
		"Equals":        {name: "A=B", reason: "Invalid"},
		"TooLong":       {name: strings.Repeat("A", 300), reason: "Invalid"},
		"LongValue":     {name: "A", value: strings.Repeat("x", 9000), reason: "Invalid"},
		"ValueWithZero": {name: "A", value: "a\x00b", reason: "Invalid"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f, set := proxyconfig.Variable(c.name, c.value)
			reason := ""
			if f != nil {
				reason = f.Reason
			}
			if reason != c.reason || set != c.set {
				t.Errorf("%q %v, want %q %v", reason, set, c.reason, c.set)
			}
		})
	}
}

// TestInjectedVariablesAreReserved: whatever the templates set by themselves, no
// ProxyConfig may set.
func TestInjectedVariablesAreReserved(t *testing.T) {
	free := map[string]bool{"ISTIO_META_DNS_CAPTURE": true, "ISTIO_META_DNS_DOMAIN": true, "PROXY_LOG_LEVEL": true}
	name := regexp.MustCompile(`- name: ([A-Z][A-Z0-9_]+)\n`)
	for _, file := range []string{"../../charts/istiod/files/injection-template.yaml", "../../charts/istiod/files/gateway-injection-template.yaml", "../../charts/gateway/templates/deployment.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := name.FindAllStringSubmatch(string(text), -1)
		if len(found) < 10 {
			t.Fatalf("%s: only %d variables found", file, len(found))
		}
		for _, m := range found {
			if _, set := proxyconfig.Variable(m[1], "x"); set != free[m[1]] {
				t.Errorf("%s sets %s, and a ProxyConfig may too: %v", file, m[1], set)
			}
		}
	}
}
