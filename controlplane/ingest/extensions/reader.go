// SPDX-License-Identifier: Apache-2.0

package extensions

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/target"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

const kindWasmPlugin = "WasmPlugin"

// Reasons of Problems; the first two as package ingest has them.
const (
	invalid      = "Invalid"
	notSupported = "NotSupported"
	unavailable  = "ModuleUnavailable"
)

// reader collects what is wrong with one object.
type reader struct {
	origin   model.Origin
	settings *model.Settings
	problems []model.Problem
	// fault is the first thing for which the plugin can't be had.
	fault string
}

func newReader(o metav1.Object, s *model.Settings) *reader {
	return &reader{settings: s, origin: model.Origin{
		Kind: kindWasmPlugin, Namespace: o.GetNamespace(), Name: o.GetName(), CreatedUnix: o.GetCreationTimestamp().Unix(),
	}}
}

// refuse a field: the plugin can't be had.
func (r *reader) refuse(field, format string, args ...any) { r.fail(field, invalid, format, args...) }

func (r *reader) fail(field, reason, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if r.fault == "" {
		r.fault = field + ": " + message
	}
	r.tell(field, reason, "%s", message)
}

// tell of something that doesn't make the plugin useless.
func (r *reader) tell(field, reason, format string, args ...any) {
	r.problems = append(r.problems, r.origin.Problem(field, reason, fmt.Sprintf(format, args...)))
}

// unavailable tells why a module isn't there, and what follows.
func (r *reader) unavailable(p *model.WasmPlugin, why string) {
	effect := "proxies that don't have it yet refuse what it is to see (failStrategy " + strategyNames[p.Fail] + ")"
	switch {
	case p.Module != nil:
		effect = "the module that was fetched before stays in place"
	case p.Fail == model.FailOpen:
		effect = "traffic passes without the plugin (failStrategy FAIL_OPEN)"
	}
	r.tell("spec.url", unavailable, "the module can't be had: %s; until then %s", why, effect)
}

var strategyNames = map[model.FailStrategy]string{
	model.FailClose: "FAIL_CLOSE", model.FailOpen: "FAIL_OPEN", model.FailReload: "FAIL_RELOAD",
}

// target reads what a plugin applies to.
func (r *reader) target(spec target.Spec) model.Target {
	return target.Owner{
		Noun: "plugin", Plural: "plugins", Namespace: r.origin.Namespace, RootNamespace: r.settings.RootNamespace,
		Refuse: r.refuse, Unused: func(field, format string, args ...any) { r.tell(field, notSupported, format, args...) },
	}.Read(spec)
}
