// SPDX-License-Identifier: Apache-2.0

package member

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/federation/trust"
	"github.com/isthmesh/isthmesh/test/goroutines"
)

func TestMain(m *testing.M) { goroutines.Verify(m) }

// TestParseEnrolment: each fault in the Secret is named by its key, and the token is never printed.
func TestParseEnrolment(t *testing.T) {
	root, err := trust.NewRoot(trust.RootRequest{Federation: "shop", Now: time.Now(), Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	good := func() map[string][]byte {
		return map[string][]byte{
			"member": []byte("east"), "federation": []byte("mesh/shop"), "address": []byte("192.0.2.1:9443"),
			"server-name": []byte("shop.mesh.federation.isthmesh.dev"), "trust-domain": []byte("east.shop.example"),
			"roots.pem": trust.EncodeBundle(root.Bundle()), "token": []byte("hunter2"),
		}
	}
	e, err := ParseEnrolment(good())
	if err != nil || !e.HasToken() || e.Member != "east" || e.Hub.Address != "192.0.2.1:9443" {
		t.Fatalf("%v, %v", e, err)
	}
	if s := fmt.Sprintf("%v %+v %#v", e, e, &e); strings.Contains(s, "hunter2") {
		t.Error("the token was printed")
	}
	for key, value := range map[string]string{
		"member": "", "federation": "", "server-name": "", "address": "no-port", "trust-domain": "a/b", "roots.pem": "no certificate",
	} {
		s := good()
		s[key] = []byte(value)
		if _, err := ParseEnrolment(s); err == nil || !strings.Contains(err.Error(), key) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a bad %s gave %v, want an error that names it", key, err)
		}
	}
	s := good()
	delete(s, "token")
	e, err = ParseEnrolment(s)
	if err != nil || e.HasToken() {
		t.Fatalf("without a token: %v, %v", e, err)
	}
	if _, err := Enroll(t.Context(), e, rand.Reader); err == nil || !strings.Contains(err.Error(), "no token") {
		t.Errorf("enrolled without a token: %v", err)
	}
}
