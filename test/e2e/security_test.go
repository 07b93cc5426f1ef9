// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// Plaintext to a STRICT workload is refused, inside the member and across
// members; mesh traffic goes on. PERMISSIVE takes both.
func TestStrictRefusesPlaintext(t *testing.T) {
	apply(t, "east", outsider)
	kubectl(t, "east", "-n", "outside", "rollout", "status", "deployment/client", "--timeout=10m")
	plain := func() (summary, error) {
		return call(t, "east", "outside", "client", "http://catalog.shop.svc.cluster.local/", "--count", "5")
	}
	eventually(t, patience, "PERMISSIVE takes plaintext", func() error {
		s, err := plain()
		if err == nil && s.OK != 5 {
			err = fmt.Errorf("%+v", s)
		}
		return err
	})

	apply(t, "east", `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
`)
	took := eventually(t, patience, "STRICT refuses plaintext", func() error {
		s, err := plain()
		if err != nil && s.OK == 0 {
			return nil
		}
		return errStillAnswers
	})
	t.Logf("STRICT after %s", took)
	mustCall(t, "west", "shop", "client", "http://catalog.shop/", "--count", "50")
}

// xDS and the CA answer nobody without credentials, or with somebody else's.
func TestControlPlaneRefusesStrangers(t *testing.T) {
	apply(t, "east", outsider)
	kubectl(t, "east", "-n", "outside", "rollout", "status", "deployment/client", "--timeout=10m")
	foreign := kubectl(t, "west", "-n", "shop", "create", "token", "client", "--audience", "istio-ca")
	wrongAudience := kubectl(t, "east", "-n", "shop", "create", "token", "catalog")
	for name, token := range map[string]string{
		"NoToken":       "",
		"Garbage":       "not-a-token",
		"OtherMember":   foreign,
		"WrongAudience": wrongAudience,
	} {
		t.Run(name, func(t *testing.T) {
			for _, service := range []string{"xds", "csr"} {
				if code := dialControlPlane(t, "east", service, token); code != "Unauthenticated" {
					t.Errorf("%s answers %s, want Unauthenticated", service, code)
				}
			}
		})
	}
	t.Run("OwnToken", func(t *testing.T) {
		own := kubectl(t, "east", "-n", "shop", "create", "token", "catalog", "--audience", "istio-ca")
		if code := dialControlPlane(t, "east", "csr", own); code != "OK" {
			t.Errorf("the CA refuses a member's own workload: %s", code)
		}
	})
}

// Secrets of the control plane aren't readable by what it may read, and its service account can't read others'.
func TestLeastPrivilege(t *testing.T) {
	for _, account := range []string{"istiod", "istio-eastwestgateway"} {
		out, _ := try(t, "east", "auth", "can-i", "get", "secrets", "-n", "shop", "--as", "system:serviceaccount:istio-system:"+account)
		if got := strings.TrimSpace(out); got != "no" {
			t.Errorf("%s can read the Secrets of other namespaces: %q", account, got)
		}
	}
}

var outsider = `
apiVersion: v1
kind: Namespace
metadata: {name: outside}
---` + echoClient("outside", "client", false)
