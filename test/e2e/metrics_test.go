// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Calls from west to east are on the pages of both pods, as Prometheus reads
// them, with both workloads, clusters and identities: over two gateways that
// never see the calls.
func TestStandardMetricsAcrossClusters(t *testing.T) {
	const calls = 20
	both := map[string]string{
		"source_workload": "client", "source_workload_namespace": "shop", "source_app": "client", "source_version": "unknown",
		"source_canonical_service": "client", "source_canonical_revision": "latest", "source_cluster": "west",
		"source_principal":     "spiffe://west.shop.example/ns/shop/sa/client",
		"destination_workload": "catalog", "destination_workload_namespace": "shop", "destination_app": "catalog", "destination_version": "v1",
		"destination_canonical_service": "catalog", "destination_canonical_revision": "v1", "destination_cluster": "east",
		"destination_principal": "spiffe://east.shop.example/ns/shop/sa/catalog",
		"destination_service":   "catalog.shop.svc.cluster.local", "destination_service_name": "catalog", "destination_service_namespace": "shop",
	}
	http := map[string]string{"request_protocol": "http", "response_code": "200", "response_flags": "-"}
	tcp := map[string]string{"request_protocol": "tcp", "response_flags": "-"}
	source := map[string]string{"reporter": "source", "connection_security_policy": "unknown"}
	destination := map[string]string{"reporter": "destination", "connection_security_policy": "mutual_tls"}
	pages := []struct {
		cluster, app, metric string
		labels               []map[string]string
	}{
		{"west", "client", "istio_requests_total", []map[string]string{both, http, source}},
		{"west", "client", "istio_request_duration_milliseconds", []map[string]string{both, http, source}},
		{"east", "catalog", "istio_requests_total", []map[string]string{both, http, destination}},
		{"east", "catalog", "istio_response_bytes", []map[string]string{both, http, destination}},
		{"west", "client", "istio_tcp_connections_opened_total", []map[string]string{both, tcp, source}},
		{"east", "catalog", "istio_tcp_connections_opened_total", []map[string]string{both, tcp, destination}},
	}
	before := make([]float64, len(pages))
	for i, p := range pages {
		eventually(t, patience, "the page of "+p.app, func() (err error) {
			before[i], _, err = seriesOf(t, p.cluster, p.app, p.metric, p.labels...)
			return err
		})
	}
	mustCall(t, "west", "shop", "client", "http://catalog.shop/", "--count", fmt.Sprint(calls))
	kubectl(t, "west", "-n", "shop", "exec", "deployment/client", "-c", "client", "--", "/echo", "tcp-call", patient, "--address=catalog.shop:9000", fmt.Sprintf("--count=%d", calls))
	for i, p := range pages {
		eventually(t, patience, p.metric+" of "+p.app, func() error {
			now, others, err := seriesOf(t, p.cluster, p.app, p.metric, p.labels...)
			if err != nil {
				return err
			}
			if now < before[i]+calls {
				return fmt.Errorf("%v, and %v before %d calls; what differs from the series:\n%s", now, before[i], calls, others)
			}
			return nil
		})
	}
}

// seriesOf reads the agents' pages of an application's pods and adds up the
// series that have all labels. It tells in what the others differ.
func seriesOf(t *testing.T, cluster, app, metric string, labels ...map[string]string) (sum float64, others string, err error) {
	t.Helper()
	pods, err := try(t, cluster, "-n", "shop", "get", "pods", "-l", "app="+app, "-o", "jsonpath={.items[*].metadata.name}")
	if err != nil {
		return 0, "", err
	}
	for pod := range strings.FieldsSeq(pods) {
		text, err := try(t, cluster, "get", "--raw", "/api/v1/namespaces/shop/pods/"+pod+":15020/proxy/stats/prometheus")
		if err != nil {
			return 0, "", err
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(text + "\n"))
		if err != nil {
			t.Fatalf("Prometheus can't read the page of %s in %s: %v", pod, cluster, err)
		}
		some, differ := with(families[metric], labels)
		sum, others = sum+some, others+differ
	}
	return sum, others, nil
}

// with adds up the series that have all labels, and tells in what the others differ.
func with(family *dto.MetricFamily, labels []map[string]string) (sum float64, others string) {
	var differ strings.Builder
	for _, m := range family.GetMetric() {
		got, want := map[string]string{}, map[string]string{}
		for _, l := range m.GetLabel() {
			got[l.GetName()] = l.GetValue()
		}
		for _, some := range labels {
			for name, value := range some {
				want[name] = value
			}
		}
		for name := range got {
			if _, ok := want[name]; !ok {
				delete(got, name)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			differ.WriteString(d)
			continue
		}
		sum += valueOf(m)
	}
	return sum, differ.String()
}

func valueOf(m *dto.Metric) float64 {
	if h := m.GetHistogram(); h != nil {
		return float64(h.GetSampleCount())
	}
	return m.GetCounter().GetValue()
}
