// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"pgregory.net/rapid"

	"github.com/isthmesh/isthmesh/controlplane/peer"
	_ "github.com/isthmesh/isthmesh/test/fixedseed"
)

// TestExpandedPage: whatever the values of labels are, Prometheus reads the
// page, no two series are the same, and no request is lost or counted twice.
func TestExpandedPage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := &rawPage{}
		for range rapid.IntRange(1, 12).Draw(t, "series") {
			raw.draw(t)
		}
		var out bytes.Buffer
		if err := expand(&out, strings.NewReader(raw.String()), productpage); err != nil {
			t.Fatalf("%v\n%s", err, raw)
		}
		got := parse(t, out.String())
		counted(t, "istio_requests_total", raw.requests, got)
		counted(t, "istio_request_bytes", raw.histograms, got)
		for name, family := range got {
			unique(t, name, family)
		}
	})
}

// rawPage is a page as Envoy writes it, and how much is in it.
type rawPage struct {
	counters, buckets    strings.Builder
	requests, histograms float64
}

func (p *rawPage) String() string {
	return "# TYPE envoy_istio_requests_total counter\n" + p.counters.String() + "# TYPE envoy_istio_request_bytes histogram\n" + p.buckets.String()
}

// draw adds a series: often one that differs from another only in what isn't shown.
func (p *rawPage) draw(t *rapid.T) {
	text := rapid.OneOf(rapid.SampledFrom([]string{"", "unknown", "a", `"`, "\n", `\`, ",", "|", "a,b", `\n`, "é", "\xff", "}", `="`, "\r"}), rapid.String())
	packed := rapid.OneOf(text, rapid.Just(productpage.String()), rapid.Just("istiod.istio-system.svc,"+productpage.String()))
	tags := []string{pair("reporter", rapid.SampledFrom([]string{"source", "destination"}).Draw(t, "reporter"))}
	for _, name := range []string{"peer", "peer_principal", "self_principal", "service", "response_code", "grpc_response_status", "team"} {
		values := text
		if name == "peer" {
			values = packed
		}
		if rapid.Bool().Draw(t, "has "+name) {
			tags = append(tags, pair(name, values.Draw(t, name)))
		}
	}
	labels := strings.Join(tags, ",")
	n := rapid.IntRange(0, 1000).Draw(t, "n")
	p.requests += float64(n)
	fmt.Fprintf(&p.counters, "envoy_istio_requests_total{%s} %d\n", labels, n)
	p.histograms += float64(n)
	for i, le := range []string{"0.5", "10", "+Inf"} {
		fmt.Fprintf(&p.buckets, "envoy_istio_request_bytes_bucket{%s,le=%q} %d\n", labels, le, n*(i+1)/3)
	}
	fmt.Fprintf(&p.buckets, "envoy_istio_request_bytes_sum{%s} %d\nenvoy_istio_request_bytes_count{%s} %d\n", labels, n*7, labels, n)
}

// pair escapes as Envoy does.
func pair(name, value string) string {
	return name + `="` + strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(value) + `"`
}

func parse(t *rapid.T, page string) map[string]*dto.MetricFamily {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	got, err := parser.TextToMetricFamilies(strings.NewReader(page))
	if err != nil {
		t.Fatalf("%v\n%s", err, page)
	}
	return got
}

func counted(t *rapid.T, name string, want float64, got map[string]*dto.MetricFamily) {
	sum, inf, counts := 0.0, 0.0, 0.0
	for _, m := range got[name].GetMetric() {
		h := m.GetHistogram()
		if h == nil {
			sum += m.GetCounter().GetValue()
			continue
		}
		sum += h.GetSampleSum() / 7
		counts += float64(h.GetSampleCount())
		inf += float64(h.GetBucket()[len(h.GetBucket())-1].GetCumulativeCount())
	}
	// A histogram has the number three times.
	if sum != want || inf != counts || counts != 0 && counts != want {
		t.Errorf("%s: %v, %v in the last buckets, %v counted; Envoy says %v", name, sum, inf, counts, want)
	}
}

func unique(t *rapid.T, name string, family *dto.MetricFamily) {
	var seen []string
	for _, m := range family.GetMetric() {
		var labels []string
		for _, l := range m.GetLabel() {
			labels = append(labels, l.GetName()+"\xff"+l.GetValue())
		}
		slices.Sort(labels)
		if has := slices.Compact(slices.Clone(labels)); len(has) != len(labels) {
			t.Errorf("%s: a label is there twice: %q", name, labels)
		}
		seen = append(seen, strings.Join(labels, "\xff\xff"))
	}
	all := len(seen)
	slices.Sort(seen)
	if len(slices.Compact(seen)) != all {
		t.Errorf("%s: a series is there twice", name)
	}
}

// FuzzExpand: nothing that Envoy may write makes the agent fall over, or makes
// a page that Prometheus refuses where it didn't refuse Envoy's.
func FuzzExpand(f *testing.F) {
	f.Add(example(2), "reviews-v2|shop|reviews|v2|reviews|v2|east")
	f.Add([]byte(`envoy_istio_request_bytes_bucket{reporter="source",le="1"} 1`+"\n"+`envoy_istio_request_bytes_bucket{reporter="source",le="1",x="2"} 1`), "")
	f.Add([]byte(`envoy_istio_requests_total{reporter="source",peer="\\\"} 1`), "||||||")
	f.Add([]byte("envoy_istio_requests_total{reporter=\"source\",} 1 2\n# TYPE envoy_istio_requests_total gauge\n"), "x")
	f.Fuzz(func(t *testing.T, page []byte, packed string) {
		self, _ := peer.Parse(packed)
		var out bytes.Buffer
		failed := expand(&out, bytes.NewReader(page), self)
		parser := expfmt.NewTextParser(model.UTF8Validation)
		if _, err := parser.TextToMetricFamilies(bytes.NewReader(append(page, '\n'))); err != nil {
			return
		}
		if _, err := parser.TextToMetricFamilies(bytes.NewReader(out.Bytes())); err != nil && failed == nil {
			t.Errorf("%v\n%s", err, out.Bytes())
		}
	})
}
