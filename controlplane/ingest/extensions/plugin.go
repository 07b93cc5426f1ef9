// SPDX-License-Identifier: Apache-2.0

package extensions

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	api "istio.io/api/extensions/v1alpha1"
	typeapi "istio.io/api/type/v1beta1"
	extensions "istio.io/client-go/pkg/apis/extensions/v1alpha1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Bounds of what a plugin says, as the kind's own definition has them.
const (
	maxPluginName  = 256
	maxEnvironment = 256
	maxVariable    = 2048
)

var phases = map[api.PluginPhase]model.PluginPhase{
	api.PluginPhase_UNSPECIFIED_PHASE: model.PhaseUnspecified, api.PluginPhase_AUTHN: model.PhaseAuthN,
	api.PluginPhase_AUTHZ: model.PhaseAuthZ, api.PluginPhase_STATS: model.PhaseStats,
}

var strategies = map[api.FailStrategy]model.FailStrategy{
	api.FailStrategy_FAIL_CLOSE: model.FailClose, api.FailStrategy_FAIL_OPEN: model.FailOpen, api.FailStrategy_FAIL_RELOAD: model.FailReload,
}

var modes = map[typeapi.WorkloadMode]model.PluginMode{
	typeapi.WorkloadMode_UNDEFINED: model.ClientAndServer, typeapi.WorkloadMode_CLIENT_AND_SERVER: model.ClientAndServer,
	typeapi.WorkloadMode_CLIENT: model.Client, typeapi.WorkloadMode_SERVER: model.Server,
}

// plugin reads an object, and the module that it wants.
func (r *reader) plugin(o *extensions.WasmPlugin) (*model.WasmPlugin, Wanted) {
	spec := &o.Spec
	p := &model.WasmPlugin{
		Origin:     r.origin,
		Target:     r.target(spec),
		Network:    spec.GetType() == api.PluginType_NETWORK,
		PluginName: spec.GetPluginName(), Priority: spec.GetPriority().GetValue(),
	}
	var ok bool
	if p.Phase, ok = phases[spec.GetPhase()]; !ok {
		r.refuse("spec.phase", "%v is none; use AUTHN, AUTHZ or STATS, or leave it out", spec.GetPhase())
	}
	if p.Fail, ok = strategies[spec.GetFailStrategy()]; !ok {
		r.refuse("spec.failStrategy", "%v is none; use FAIL_CLOSE, FAIL_OPEN or FAIL_RELOAD", spec.GetFailStrategy())
	}
	if _, ok = api.PluginType_name[int32(spec.GetType())]; !ok {
		r.refuse("spec.type", "%v is none; use HTTP or NETWORK", spec.GetType())
	}
	if len(p.PluginName) > maxPluginName {
		r.refuse("spec.pluginName", "it has %d characters; at most %d are possible", len(p.PluginName), maxPluginName)
	}
	if spec.GetVerificationKey() != "" {
		// Who asks for a verified module isn't given one that nobody has verified.
		r.fail("spec.verificationKey", notSupported, "signatures of modules are not verified, so the module is not run; remove the field and pin the module by spec.sha256")
	}
	p.Configuration = r.configuration(spec)
	r.environment(p, spec.GetVmConfig().GetEnv())
	for i, m := range spec.GetMatch() {
		p.Match = append(p.Match, r.match(fmt.Sprintf("spec.match[%d]", i), m))
	}
	wanted, file := r.source(o)
	if p.Invalid = r.fault; p.Invalid == "" {
		p.File = file
	}
	return p, wanted
}

// configuration as JSON, the same bytes for the same content.
func (r *reader) configuration(spec *api.WasmPlugin) string {
	if spec.GetPluginConfig() == nil {
		return ""
	}
	text, err := json.Marshal(spec.GetPluginConfig().AsMap())
	if err != nil {
		r.refuse("spec.pluginConfig", "it can't be written as JSON (%v); correct it", err)
		return ""
	}
	return string(text)
}

func (r *reader) environment(p *model.WasmPlugin, env []*api.EnvVar) {
	if len(env) > maxEnvironment {
		r.refuse("spec.vmConfig.env", "it has %d variables; at most %d are possible", len(env), maxEnvironment)
		return
	}
	named := map[string]bool{}
	for i, e := range env {
		field := fmt.Sprintf("spec.vmConfig.env[%d]", i)
		switch {
		case !isVariable(e.GetName()):
			r.refuse(field+".name", "%.100q can't name a variable; use letters, digits and _ - .", e.GetName())
		case named[e.GetName()]:
			r.refuse(field+".name", "variable %.100q is there twice; keep one", e.GetName())
		case len(e.GetValue()) > maxVariable:
			r.refuse(field+".value", "it has %d characters; at most %d are possible", len(e.GetValue()), maxVariable)
		case e.GetValueFrom() == api.EnvValueSource_HOST && e.GetValue() != "":
			r.refuse(field+".value", "a variable of the proxy (valueFrom HOST) has its value there; remove one of both")
		case e.GetValueFrom() == api.EnvValueSource_HOST:
			p.HostEnvironment = append(p.HostEnvironment, e.GetName())
		case e.GetValueFrom() == api.EnvValueSource_INLINE:
			p.Environment = append(p.Environment, model.Header{Name: e.GetName(), Value: e.GetValue()})
		default:
			r.refuse(field+".valueFrom", "%v is none; use INLINE or HOST", e.GetValueFrom())
		}
		named[e.GetName()] = true
	}
	slices.Sort(p.HostEnvironment)
	slices.SortFunc(p.Environment, func(a, b model.Header) int { return strings.Compare(a.Name, b.Name) })
}

// isVariable is true for the name of a variable as pods can have it.
func isVariable(name string) bool {
	other := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("_-.", c)
	}
	return name != "" && len(name) <= maxPluginName && strings.IndexFunc(name, other) < 0
}

func (r *reader) match(field string, m *api.WasmPlugin_TrafficSelector) model.PluginMatch {
	mode, ok := modes[m.GetMode()]
	if !ok {
		r.refuse(field+".mode", "%v is none; use CLIENT, SERVER or CLIENT_AND_SERVER", m.GetMode())
	}
	out := model.PluginMatch{Mode: mode}
	for i, p := range m.GetPorts() {
		if p.GetNumber() == 0 || p.GetNumber() > 65535 {
			r.refuse(fmt.Sprintf("%s.ports[%d].number", field, i), "%d is no port; use 1 to 65535", p.GetNumber())
			continue
		}
		out.Ports = append(out.Ports, uint16(p.GetNumber()))
	}
	slices.Sort(out.Ports)
	return out
}
