// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/isthmesh/isthmesh/controlplane/agent/metrics"
)

const (
	interval = 15 * time.Second
	scrapes  = 21
)

// scraped is what Prometheus has after it scraped all proxies for five
// minutes, in which the calls were made once between each two scrapes.
type scraped []*storage.SeriesEntry

type envoy string

func (e envoy) Prometheus(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(e))), nil
}

func scrape(t *testing.T) scraped {
	t.Helper()
	var out scraped
	for _, w := range proxies {
		page, _ := metrics.New(envoy(raw(w)), nil, w.Peer, "1.0")
		answer := httptest.NewRecorder()
		page.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/stats/prometheus", nil))
		out = append(out, read(t, answer, w.Workload+"."+w.Cluster)...)
	}
	slices.SortFunc(out, func(a, b *storage.SeriesEntry) int { return labels.Compare(a.Labels(), b.Labels()) })
	for i := 1; i < len(out); i++ {
		if labels.Equal(out[i-1].Labels(), out[i].Labels()) {
			t.Errorf("twice: %s", out[i].Labels())
		}
	}
	return out
}

// read a page as a scrape does, with the label of the pod.
func read(t *testing.T, answer *httptest.ResponseRecorder, pod string) []*storage.SeriesEntry {
	t.Helper()
	parser, err := textparse.New(answer.Body.Bytes(), answer.Header().Get("Content-Type"), nil, textparse.ParserOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out []*storage.SeriesEntry
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("Prometheus refuses the page of %s: %v\n%s", pod, err, answer.Body)
		}
		if entry != textparse.EntrySeries {
			continue
		}
		_, _, value := parser.Series()
		var l labels.Labels
		parser.Labels(&l)
		var samples []chunks.Sample
		for i := range scrapes {
			samples = append(samples, sample{at: int64(i) * interval.Milliseconds(), value: value * float64(i)})
		}
		out = append(out, storage.NewListSeries(labels.NewBuilder(l).Set("pod", pod).Labels(), samples))
	}
}

// ask evaluates a query at the end of the five minutes.
func (s scraped) ask(t *testing.T, query string) (promql.Vector, error) {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: 5 * time.Minute})
	defer engine.Close()
	q, err := engine.NewInstantQuery(t.Context(), s, nil, query, time.UnixMilli((scrapes-1)*interval.Milliseconds()))
	if err != nil {
		return nil, err
	}
	defer q.Close()
	result := q.Exec(t.Context())
	if result.Err != nil {
		return nil, result.Err
	}
	vector, err := result.Vector()
	// The engine takes its rows back.
	vector = slices.Clone(vector)
	slices.SortFunc(vector, func(a, b promql.Sample) int {
		return cmp.Compare(a.Metric.String(), b.Metric.String())
	})
	return vector, err
}

// Querier makes scraped a storage; what is scraped has always been there.
func (s scraped) Querier(int64, int64) (storage.Querier, error) { return querier{s}, nil }

type querier struct{ all scraped }

func (q querier) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	set := &set{at: -1}
	for _, one := range q.all {
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(one.Labels().Get(m.Name)) }) {
			set.series = append(set.series, one)
		}
	}
	return set
}

func (querier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (querier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (querier) Close() error { return nil }

type set struct {
	series []*storage.SeriesEntry
	at     int
}

func (s *set) Next() bool                        { s.at++; return s.at < len(s.series) }
func (s *set) At() storage.Series                { return s.series[s.at] }
func (s *set) Err() error                        { return nil }
func (s *set) Warnings() annotations.Annotations { return nil }

type sample struct {
	at    int64
	value float64
}

func (s sample) T() int64                      { return s.at }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.value }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }
