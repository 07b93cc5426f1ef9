// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"fmt"
	"slices"
	"strings"

	api "istio.io/api/telemetry/v1alpha1"
	telemetry "istio.io/client-go/pkg/apis/telemetry/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/keep"
	"github.com/isthmesh/isthmesh/controlplane/ingest/target"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Input is what Telemetries are read with. Nothing in it is modified.
type Input struct {
	Telemetries []*telemetry.Telemetry
	Settings    *model.Settings
}

// Output is the Telemetries, oldest first, and what is wrong with them.
type Output struct {
	Telemetries []*model.Telemetry
	Problems    []model.Problem

	in Input
}

const kindTelemetry = "Telemetry"

// Reasons of Problems, as package ingest has them.
const (
	invalid      = "Invalid"
	notSupported = "NotSupported"
	conflict     = "Conflict"
	// notFound is what another object, or MeshConfig, may get later.
	notFound = "NotFound"
)

// Build reads the Telemetries of a mesh. Prev is the last output, or nil; it decides
// which pointers are shared, never what the output says.
func Build(in Input, prev *Output) *Output {
	if prev != nil && keep.Same(prev.in, in) {
		return prev
	}
	if prev == nil {
		prev = &Output{}
	}
	out := &Output{in: in}
	for _, o := range in.Telemetries {
		r := newReader(o, in.Settings)
		if t := r.read(&o.Spec); t != nil {
			out.Telemetries = append(out.Telemetries, t)
		}
		out.Problems = append(out.Problems, r.problems...)
	}
	slices.SortFunc(out.Telemetries, func(a, b *model.Telemetry) int { return a.Older(b.Origin) })
	out.Problems = append(out.Problems, shadowed(out.Telemetries)...)
	out.Problems = append(out.Problems, aimless(out.Telemetries, in.Settings)...)
	out.Telemetries = keep.Share(prev.Telemetries, out.Telemetries)
	out.Problems = keep.Slice(prev.Problems, out.Problems)
	return out
}

// shadowed are those for whole namespaces in which an older one is; of all they say
// nothing holds, as in Istio.
func shadowed(all []*model.Telemetry) []model.Problem {
	var out []model.Problem
	first := map[string]*model.Telemetry{}
	for _, t := range all {
		if t.Target.Selector != "" || len(t.Target.Refs) > 0 {
			continue
		}
		if older := first[t.Namespace]; older != nil {
			out = append(out, t.Problem("spec.selector", conflict, fmt.Sprintf(
				"Telemetry %s/%s is older and applies to the whole namespace too, so it wins; put both into one, or narrow this one's selector", older.Namespace, older.Name)))
			continue
		}
		first[t.Namespace] = t
	}
	return out
}

// aimless are rules that name no provider where no wider one does: they are about
// none, as in Istio, whatever accessLogFile says.
func aimless(all []*model.Telemetry, s *model.Settings) []model.Problem {
	if len(s.Logs) > 0 {
		return nil
	}
	names := func(r model.LogRule) bool { return len(r.Providers) > 0 }
	var out []model.Problem
	for _, t := range all {
		if slices.ContainsFunc(all, func(o *model.Telemetry) bool {
			return (o.Namespace == t.Namespace || o.Namespace == s.RootNamespace) && slices.ContainsFunc(o.Logs, names)
		}) {
			continue
		}
		for i := range t.Logs {
			out = append(out, t.Problem(fmt.Sprintf("spec.accessLogging[%d].providers", i), notFound,
				`it names no provider, nor does meshConfig.defaultProviders, so this says nothing; name one, such as "envoy" for the proxy's own log`))
		}
	}
	return out
}

// reader collects what is wrong with one object.
type reader struct {
	origin   model.Origin
	settings *model.Settings
	problems []model.Problem
	refused  bool
}

func newReader(o *telemetry.Telemetry, s *model.Settings) *reader {
	return &reader{settings: s, origin: model.Origin{Kind: kindTelemetry, Namespace: o.Namespace, Name: o.Name, CreatedUnix: o.CreationTimestamp.Unix()}}
}

func (r *reader) tell(field, reason, format string, args ...any) {
	r.problems = append(r.problems, r.origin.Problem(field, reason, fmt.Sprintf(format, args...)))
}

// read an object; nil when it can't be said whom it is for.
func (r *reader) read(spec *api.Telemetry) *model.Telemetry {
	out := &model.Telemetry{Origin: r.origin}
	out.Target = target.Owner{
		Noun: "telemetry", Plural: "telemetries", Namespace: r.origin.Namespace, RootNamespace: r.settings.RootNamespace,
		Refuse: func(field, format string, args ...any) {
			r.refused = true
			r.tell(field, invalid, format, args...)
		},
		Unused: func(field, format string, args ...any) { r.tell(field, notSupported, format, args...) },
	}.Read(spec)
	out.Metrics = r.metrics(spec.GetMetrics())
	if len(spec.GetTracing()) > 0 {
		r.tell("spec.tracing", notSupported, "spans are not sent; remove it, or use an EnvoyFilter with a tracing provider")
	}
	for i, l := range spec.GetAccessLogging() {
		if rule, ok := r.rule(fmt.Sprintf("spec.accessLogging[%d]", i), l); ok {
			out.Logs = append(out.Logs, rule)
		}
	}
	if r.refused {
		return nil
	}
	return out
}

var sides = map[api.WorkloadMode]model.PluginMode{
	api.WorkloadMode_CLIENT_AND_SERVER: model.ClientAndServer, api.WorkloadMode_CLIENT: model.Client, api.WorkloadMode_SERVER: model.Server,
}

// rule of the access log; false when it can't be had.
func (r *reader) rule(field string, l *api.AccessLogging) (model.LogRule, bool) {
	out := model.LogRule{Disabled: l.GetDisabled().GetValue(), Filter: l.GetFilter().GetExpression()}
	var ok bool
	if out.Side, ok = sides[l.GetMatch().GetMode()]; !ok {
		r.tell(field+".match.mode", invalid, "%v is none, and the rule is left out; use CLIENT, SERVER or CLIENT_AND_SERVER", l.GetMatch().GetMode())
		return out, false
	}
	for i, p := range l.GetProviders() {
		at := fmt.Sprintf("%s.providers[%d].name", field, i)
		name := strings.ToLower(p.GetName())
		known := slices.ContainsFunc(r.settings.LogProviders, func(p model.LogProvider) bool { return strings.ToLower(p.Name) == name })
		if !known {
			r.tell(at, notFound, "no provider of access logs is called %q, so nothing is logged to it; add it to meshConfig.extensionProviders, or correct the name", p.GetName())
		}
		// One that isn't known takes the place of wider ones all the same.
		out.Providers = append(out.Providers, name)
	}
	if l.GetFilter() != nil {
		if err := checkExpression(out.Filter); err != nil {
			r.tell(field+".filter.expression", invalid, "%v; the rule is left out, correct it", err)
			return out, false
		}
	}
	return out, true
}
