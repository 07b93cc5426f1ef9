// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"testing"
)

// example is Envoy's page with that many different calls, about 25 kB each.
func example(calls int) []byte {
	var out bytes.Buffer
	labels := func(i int) string {
		return fmt.Sprintf(`reporter="source",peer="reviews-v%d|shop|reviews|v%d|reviews|v%d|east",peer_principal="spiffe://east.shop.example/ns/shop/sa/reviews",`+
			`self_principal="spiffe://west.shop.example/ns/shop/sa/productpage",service="reviews.shop.svc.cluster.local|reviews|shop",request_protocol="http",`+
			`response_code="200",grpc_response_status="",response_flags="-",connection_security_policy="unknown"`, i, i, i)
	}
	out.WriteString("# TYPE envoy_istio_requests_total counter\n")
	for i := range calls {
		fmt.Fprintf(&out, "envoy_istio_requests_total{%s} %d\n", labels(i), i)
	}
	for _, name := range []string{"istio_request_duration_milliseconds", "istio_request_bytes", "istio_response_bytes"} {
		fmt.Fprintf(&out, "# TYPE envoy_%s histogram\n", name)
		for i := range calls {
			for _, le := range []string{"0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000", "30000", "60000", "300000", "600000", "1.8e+06", "3.6e+06", "+Inf"} {
				fmt.Fprintf(&out, "envoy_%s_bucket{%s,le=\"%s\"} %d\n", name, labels(i), le, i)
			}
			fmt.Fprintf(&out, "envoy_%s_sum{%s} %d\nenvoy_%s_count{%s} %d\n", name, labels(i), i*3, name, labels(i), i)
		}
	}
	return out.Bytes()
}

// BenchmarkPage beside a plain copy: a page of 20 MB.
func BenchmarkPage(b *testing.B) {
	page := example(750)
	b.Run("Copy", func(b *testing.B) {
		b.SetBytes(int64(len(page)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{bytes.NewReader(page)}, make([]byte, 64<<10)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Expand", func(b *testing.B) {
		b.SetBytes(int64(len(page)))
		b.ReportAllocs()
		for b.Loop() {
			if err := expand(io.Discard, bytes.NewReader(page), productpage); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ExpandGzip", func(b *testing.B) {
		b.SetBytes(int64(len(page)))
		b.ReportAllocs()
		for b.Loop() {
			w := compressors.Get().(*gzip.Writer)
			w.Reset(io.Discard)
			if err := expand(w, bytes.NewReader(page), productpage); err != nil {
				b.Fatal(err)
			}
			compressors.Put(w)
		}
	})
}
