// SPDX-License-Identifier: Apache-2.0

package authn_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/authn/authntest"
)

// FuzzAuthorizationHeader: no header makes it panic, lets anyone in but the
// owner of a token, or shows up in an error.
func FuzzAuthorizationHeader(f *testing.F) {
	c := &authntest.Clock{}
	api := authntest.New(c.Now)
	issue := func(t authntest.Token) string {
		t.Namespace, t.ServiceAccount = "shop", "cart"
		return "Bearer " + api.Issue(t)
	}
	good := issue(authntest.Token{Pod: "p", PodUID: "u"})
	f.Add(good)
	f.Add(strings.ToLower(good))
	f.Add(issue(authntest.Token{Audiences: []string{}}))
	f.Add("Bearer a.b.c")
	f.Add("Bearer eyJhbGciOiJFUzI1NiJ9..")
	f.Add("Bearer {\"payload\":\"\",\"signatures\":[]}")
	f.Add("\x00")
	f.Fuzz(func(t *testing.T, header string) {
		a := newTokens(t, api, c, authn.Limits{})
		caller, err := a.Authenticate(with(t.Context(), header))
		switch {
		case err == nil && caller.Identity.String() != cart:
			t.Fatalf("header authenticates %q", caller.Identity)
		case err != nil && status.Code(err) != codes.Unauthenticated:
			t.Fatalf("code is %s", status.Code(err))
		case err != nil && len(header) > 40 && strings.Contains(err.Error(), header[len(header)-30:]):
			t.Fatal("the error quotes the header")
		}
	})
}
