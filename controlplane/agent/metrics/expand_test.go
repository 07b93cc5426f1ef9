// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/peer"
	"github.com/isthmesh/isthmesh/test/golden"
)

var productpage = peer.Peer{
	Workload: "productpage-v1", Namespace: "shop", App: "productpage", Version: "v1",
	CanonicalService: "productpage", CanonicalRevision: "v1", Cluster: "west",
}

// TestExpand: what Envoy writes becomes what Prometheus reads.
func TestExpand(t *testing.T) {
	golden.Archives(t, "page", []string{"envoy", "self"}, func(t *testing.T, parts map[string][]byte) string {
		self := productpage
		if text, ok := parts["self"]; ok {
			self, _ = peer.Parse(strings.TrimSpace(string(text)))
		}
		var out bytes.Buffer
		if err := expand(&out, bytes.NewReader(parts["envoy"]), self); err != nil {
			out.WriteString("error: " + err.Error() + "\n")
		}
		return out.String()
	})
}

// TestExpandSmallReads: where the page is cut into packets doesn't matter.
func TestExpandSmallReads(t *testing.T) {
	page := example(50)
	var want, got bytes.Buffer
	if err := expand(&want, bytes.NewReader(page), productpage); err != nil {
		t.Fatal(err)
	}
	if err := expand(&got, iotest.OneByteReader(bytes.NewReader(page)), productpage); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want.String(), got.String()); d != "" {
		t.Error(d)
	}
}

// TestExpandBrokenOff: of a page that breaks off, no number of the mesh is shown.
func TestExpandBrokenOff(t *testing.T) {
	broken := errors.New("broken off")
	page := io.MultiReader(strings.NewReader("envoy_server_live{} 1\n"+`envoy_istio_requests_total{reporter="source"} 1`+"\n"), iotest.ErrReader(broken))
	var out bytes.Buffer
	if err := expand(&out, page, productpage); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if d := cmp.Diff("envoy_server_live{} 1\n", out.String()); d != "" {
		t.Error(d)
	}
}

// TestExpandLongLines: a line longer than the buffer is whole; one that is
// longer than any label is left out, and said.
func TestExpandLongLines(t *testing.T) {
	cases := map[string]struct {
		size int
		want string
	}{
		"LongerThanTheBuffer": {200 << 10, ""},
		"TooLong":             {longest, `1 lines of envoy's metrics are left out, the first begins with "envoy_istio_requests_total{reporter=`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			value := strings.Repeat("envoy_istio_", c.size/12+1)
			other := `envoy_other{path="` + value + "\"} 1\n"
			page := other + `envoy_istio_requests_total{reporter="source",path="` + value + "\"} 1\n" +
				`envoy_istio_requests_total{reporter="source",path="short"} 2` + "\n" + "last 3"
			var out bytes.Buffer
			err := expand(&out, strings.NewReader(page), productpage)
			if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("error %.200v", err)
			}
			got := out.String()
			if !strings.HasPrefix(got, other+"last 3\n# HELP istio_requests_total ") {
				t.Errorf("what isn't the mesh's changed: %.100s", got)
			}
			if strings.Contains(got, `path="`+value+`"} 1`+"\n# HELP") || strings.Count(got, `path="short"} 2`+"\n") != 1 {
				t.Errorf("the short series is missing")
			}
			if got := strings.Contains(got, `,path="`+value+`"} 1`+"\n"); got != (c.want == "") {
				t.Errorf("the long series is there: %t", got)
			}
		})
	}
}

// TestNamespaceOf: only the form of the mesh's identities has a namespace.
func TestNamespaceOf(t *testing.T) {
	cases := map[string]struct{ in, want string }{
		"Identity":      {"spiffe://west.shop.example/ns/shop/sa/reviews", "shop"},
		"Nothing":       {"", ""},
		"OtherScheme":   {"https://west.shop.example/ns/shop/sa/reviews", ""},
		"NoAccount":     {"spiffe://west.shop.example/ns/shop", ""},
		"More":          {"spiffe://west.shop.example/ns/shop/sa/reviews/x", ""},
		"OtherSegments": {"spiffe://west.shop.example/namespace/shop/sa/reviews", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := namespaceOf(c.in); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestTakesGzip(t *testing.T) {
	cases := map[string]struct {
		in   []string
		want bool
	}{
		"Nothing":    {nil, false},
		"Prometheus": {[]string{"gzip"}, true},
		"Several":    {[]string{"zstd, GZIP;q=0.5"}, true},
		"Headers":    {[]string{"br", "gzip"}, true},
		"Any":        {[]string{"*"}, true},
		"Refused":    {[]string{"gzip; q=0, identity"}, false},
		"Other":      {[]string{"identity, deflate, xgzip"}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := takesGzip(c.in); got != c.want {
				t.Errorf("got %t, want %t", got, c.want)
			}
		})
	}
}
