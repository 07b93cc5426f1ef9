// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/isthmesh/isthmesh/controlplane/ingest/gatewayapi"
)

// maxName is the longest name of a Service.
const maxName = 63

// objectName of what is made for a Gateway: <gateway>-<class>, as Istio has it.
// Where that is no name of a Service it is cut and ends in a hash.
func objectName(d *gatewayapi.Deployment) string {
	full := d.Gateway + "-" + d.Class
	if len(full) <= maxName && len(validation.IsDNS1035Label(full)) == 0 {
		return full
	}
	sum := sha256.Sum256([]byte(full))
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, full)
	if name == "" || name[0] < 'a' || name[0] > 'z' {
		name = "gw-" + name
	}
	if most := maxName - 9; len(name) > most {
		name = name[:most]
	}
	return strings.TrimRight(name, "-") + "-" + hex.EncodeToString(sum[:4])
}

// reservedKeys are the domains of labels and annotations that say what a pod may
// do, how it is injected or whose it is: who writes a Gateway doesn't set them.
var reservedKeys = []string{
	"istio.io", "gateway.networking.k8s.io", "app.kubernetes.io", "helm.sh", "isthmesh.dev", "kubectl.kubernetes.io",
	"security.beta.kubernetes.io", "security.alpha.kubernetes.io", "cni.cncf.io", "prometheus.io",
}

// plainKeys are labels of ours without a domain.
var plainKeys = map[string]bool{"app": true, "istio": true}

// safe keeps the entries whose keys are not reserved. Values are data wherever
// they go, so they need no check but the API server's.
func safe(in map[string]string) map[string]any {
	out := map[string]any{}
	for k, v := range in {
		domain, _, qualified := strings.Cut(k, "/")
		if !qualified && plainKeys[k] || qualified && isReserved(domain) {
			continue
		}
		out[k] = v
	}
	return out
}

func isReserved(domain string) bool {
	for _, r := range reservedKeys {
		if domain == r || strings.HasSuffix(domain, "."+r) {
			return true
		}
	}
	return false
}
