// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// What kube-proxy needs of its node is there when the node has an address: until
// then kube-proxy isn't started, for it doesn't wait long.
func TestNodeRegistered(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		node   string
		want   bool
	}{
		"Absent":    {http.StatusNotFound, `{"kind":"Status"}`, false},
		"NoAddress": {http.StatusOK, `{"status":{}}`, false},
		"NameOnly":  {http.StatusOK, `{"status":{"addresses":[{"type":"Hostname","address":"n"}]}}`, false},
		"Address":   {http.StatusOK, `{"status":{"addresses":[{"type":"InternalIP","address":"10.211.11.2"}]}}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/api/v1/nodes/n" {
					t.Errorf("asked for %s", r.URL.Path)
				}
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.node)
			}))
			defer server.Close()
			err := questions{client: server.Client(), server: server.URL, node: "n"}.nodeRegistered(t.Context())
			if (err == nil) != c.want {
				t.Errorf("registered: %t (%v), want %t", err == nil, err, c.want)
			}
		})
	}
}

func TestUntilEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := until(ctx, func(ctx context.Context) error { return ctx.Err() }); err == nil {
		t.Error("no error")
	}
	asked := 0
	if err := until(t.Context(), func(context.Context) error {
		if asked++; asked < 3 {
			return errors.New("not yet")
		}
		return nil
	}); err != nil || asked != 3 {
		t.Errorf("asked %d times, %v", asked, err)
	}
}
