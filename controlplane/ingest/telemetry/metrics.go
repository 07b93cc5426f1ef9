// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	api "istio.io/api/telemetry/v1alpha1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// names of Istio's metrics; those of gRPC messages aren't counted.
var names = map[api.MetricSelector_IstioMetric]string{
	api.MetricSelector_ALL_METRICS:            "",
	api.MetricSelector_REQUEST_COUNT:          "istio_requests_total",
	api.MetricSelector_REQUEST_DURATION:       "istio_request_duration_milliseconds",
	api.MetricSelector_REQUEST_SIZE:           "istio_request_bytes",
	api.MetricSelector_RESPONSE_SIZE:          "istio_response_bytes",
	api.MetricSelector_TCP_OPENED_CONNECTIONS: "istio_tcp_connections_opened_total",
	api.MetricSelector_TCP_CLOSED_CONNECTIONS: "istio_tcp_connections_closed_total",
	api.MetricSelector_TCP_SENT_BYTES:         "istio_tcp_sent_bytes_total",
	api.MetricSelector_TCP_RECEIVED_BYTES:     "istio_tcp_received_bytes_total",
}

// metrics of a Telemetry.
func (r *reader) metrics(given []*api.Metrics) []model.MetricRule {
	var out []model.MetricRule
	for i, m := range given {
		field := fmt.Sprintf("spec.metrics[%d]", i)
		rule := model.MetricRule{Named: len(m.GetProviders()) > 0}
		rule.Elsewhere = rule.Named
		for j, p := range m.GetProviders() {
			if slices.Contains(r.settings.MetricProviders, strings.ToLower(p.GetName())) {
				rule.Elsewhere = false
				continue
			}
			r.tell(fmt.Sprintf("%s.providers[%d].name", field, j), notFound,
				"no provider of metrics for Prometheus is called %q, and nothing else takes them; name prometheus", p.GetName())
		}
		if m.GetReportingInterval() != nil {
			r.tell(field+".reportingInterval", notSupported, "bytes of a connection are counted when it ends; remove it")
		}
		for j, o := range m.GetOverrides() {
			if made, ok := r.override(fmt.Sprintf("%s.overrides[%d]", field, j), o); ok {
				rule.Overrides = append(rule.Overrides, made)
			}
		}
		out = append(out, rule)
	}
	return out
}

// override of metrics; false when it can't be had.
func (r *reader) override(field string, o *api.MetricsOverrides) (model.MetricOverride, bool) {
	var out model.MetricOverride
	var ok bool
	if out.Side, ok = sides[o.GetMatch().GetMode()]; !ok {
		r.tell(field+".match.mode", invalid, "%v is none, and the override is left out; use CLIENT, SERVER or CLIENT_AND_SERVER", o.GetMatch().GetMode())
		return out, false
	}
	switch m := o.GetMatch().GetMetricMatch().(type) {
	case *api.MetricSelector_CustomMetric:
		if out.Metric = m.CustomMetric; out.Metric == "" || !slices.Contains(slices.Collect(maps.Values(names)), out.Metric) {
			r.tell(field+".match.customMetric", notSupported, "proxies count the standard metrics only, and %q is none of them; remove the override", m.CustomMetric)
			return out, false
		}
	default:
		if out.Metric, ok = names[o.GetMatch().GetMetric()]; !ok {
			r.tell(field+".match.metric", notSupported, "%v isn't counted, so there is nothing to change; remove the override", o.GetMatch().GetMetric())
			return out, false
		}
	}
	if d := o.GetDisabled(); d != nil {
		out.Count = model.Yes
		if d.GetValue() {
			out.Count = model.No
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.GetTagOverrides())) {
		r.tag(fmt.Sprintf("%s.tagOverrides[%s]", field, name), name, o.GetTagOverrides()[name], &out)
	}
	return out, true
}

// removable are tags that can be gone without. The others are packed together, and
// series would be the same that aren't.
var removable = []string{"connection_security_policy", "grpc_response_status", "request_protocol", "response_code", "response_flags"}

// asText is an expression that is made a text, as Istio wants it. Envoy can't, and
// writes what isn't one as it is.
func asText(expression string) string {
	inner, ok := strings.CutPrefix(strings.TrimSpace(expression), "string(")
	if inner, closed := strings.CutSuffix(inner, ")"); ok && closed && checkExpression(inner) == nil {
		return inner
	}
	return expression
}

// inner are names that tags have between a proxy and its agent.
var inner = []string{"peer", "peer_principal", "reporter", "self_principal", "service"}

var isLabel = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]*$`)

// tag that is set, or removed.
func (r *reader) tag(field, name string, o *api.MetricsOverrides_TagOverride, out *model.MetricOverride) {
	if o.GetOperation() == api.MetricsOverrides_TagOverride_UPSERT {
		value := asText(o.GetValue())
		err := checkExpression(value)
		switch {
		case !isLabel.MatchString(name):
			r.tell(field, invalid, "%q is no name of a label; write letters, digits and _, a letter first", name)
		case slices.Contains(inner, name):
			r.tell(field, notSupported, "proxies use the name %s themselves; take another one", name)
		case err != nil:
			r.tell(field+".value", invalid, "%v; the tag stays as it is, correct the expression", err)
		case strings.Contains(value, ")%"):
			r.tell(field+".value", notSupported, `")%%" ends the expression for the proxy, so the tag stays as it is; put a space before the %%`)
		default:
			out.Set = append(out.Set, model.Header{Name: name, Value: value})
		}
		return
	}
	switch {
	case o.GetOperation() != api.MetricsOverrides_TagOverride_REMOVE:
		r.tell(field+".operation", invalid, "%v is none; use UPSERT or REMOVE", o.GetOperation())
	case !slices.Contains(removable, name):
		r.tell(field, notSupported, "proxies can't go without %s; only %s can be removed", name, strings.Join(removable, ", "))
	default:
		out.Remove = append(out.Remove, name)
	}
}
