// SPDX-License-Identifier: Apache-2.0

package extension

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	httpwasmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/wasm/v3"
	rbacnetv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	wasmnetv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/wasm/v3"
	wasmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/wasm/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// names of filters and resources begin with it, as Istio's do.
const prefix = "extensions.istio.io/wasmplugin/"

// runtime that stock Envoy has.
const runtime = "envoy.wasm.runtime.v8"

// notThere is what a request is answered whose plugin isn't there and fails closed.
const notThere = 503

var policies = map[model.FailStrategy]wasmv3.FailurePolicy{
	model.FailClose: wasmv3.FailurePolicy_FAIL_CLOSED, model.FailOpen: wasmv3.FailurePolicy_FAIL_OPEN, model.FailReload: wasmv3.FailurePolicy_FAIL_RELOAD,
}

// Name of a plugin's filter and of its configuration.
func Name(p *model.WasmPlugin) string {
	name := prefix + p.Namespace + "." + p.Name
	if p.Network {
		// Envoy takes no other kind of filter under a name that it knows.
		name += ":network"
	}
	return name
}

// Named is true when a resource is a plugin's.
func Named(resource string, p *model.WasmPlugin) bool {
	return strings.HasPrefix(resource, prefix) && resource == Name(p)
}

// Resource is the configuration of a plugin's filter. Without a module it is
// what its strategy says: everything is refused, or passes. Where the module only can't be
// had just now, as after a restart while its registry is gone, that stands in for it, and
// proxies that have the module keep it.
func Resource(p *model.WasmPlugin) (*envoy.Resource, error) {
	config := &corev3.TypedExtensionConfig{Name: Name(p), TypedConfig: envoy.Any(filter(p))}
	if p.Invalid == "" && source(p) == nil {
		return envoy.NewStandIn(Name(p), config)
	}
	return envoy.NewResource(Name(p), config)
}

func filter(p *model.WasmPlugin) proto.Message {
	code := source(p)
	if code == nil {
		return without(p)
	}
	config := &wasmv3.PluginConfig{
		Name: p.Namespace + "." + p.Name, RootId: p.PluginName, FailurePolicy: policies[p.Fail],
		Vm: &wasmv3.PluginConfig_VmConfig{VmConfig: &wasmv3.VmConfig{
			Runtime: runtime, Code: &corev3.AsyncDataSource{Specifier: &corev3.AsyncDataSource_Local{Local: code}},
			EnvironmentVariables: environment(p),
		}},
	}
	if p.Configuration != "" {
		config.Configuration = envoy.Any(&wrapperspb.StringValue{Value: p.Configuration})
	}
	if p.Network {
		return &wasmnetv3.Wasm{Config: config}
	}
	return &httpwasmv3.Wasm{Config: config}
}

// source of the code; nil when there is none.
func source(p *model.WasmPlugin) *corev3.DataSource {
	switch {
	case p.Invalid != "":
		return nil
	case p.File != "":
		return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: p.File}}
	case p.Module != nil:
		return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: p.Module.Code}}
	}
	return nil
}

func environment(p *model.WasmPlugin) *wasmv3.EnvironmentVariables {
	if len(p.Environment)+len(p.HostEnvironment) == 0 {
		return nil
	}
	out := &wasmv3.EnvironmentVariables{HostEnvKeys: p.HostEnvironment, KeyValues: map[string]string{}}
	for _, v := range p.Environment {
		out.KeyValues[v.Name] = v.Value
	}
	return out
}

// Closes is true for a plugin without which no connection is taken: a filter
// could only refuse what a client says, and some servers speak first.
func Closes(p *model.WasmPlugin) bool {
	return p.Network && p.Fail != model.FailOpen && source(p) == nil
}

// Effect on traffic of a plugin that isn't there.
func Effect(p *model.WasmPlugin) string {
	if p.Fail == model.FailOpen {
		return "traffic passes without the plugin"
	}
	return "what the plugin is to see is refused"
}

// without is what stands in for a plugin that isn't there.
func without(p *model.WasmPlugin) proto.Message {
	// A filter without rules lets everything pass; one with rules and no policy
	// that allows refuses everything.
	nothing := &rbacv3.RBAC{Action: rbacv3.RBAC_ALLOW}
	switch {
	case p.Network && p.Fail == model.FailOpen:
		return &rbacnetv3.RBAC{StatPrefix: "wasm."}
	case p.Network:
		return &rbacnetv3.RBAC{StatPrefix: "wasm.", Rules: nothing}
	case p.Fail == model.FailOpen:
		return &httprbacv3.RBAC{}
	}
	return &faultv3.HTTPFault{Abort: &faultv3.FaultAbort{
		ErrorType:  &faultv3.FaultAbort_HttpStatus{HttpStatus: notThere},
		Percentage: &typev3.FractionalPercent{Numerator: 100},
	}}
}

// discovered is how a filter gets its configuration, and what holds until it
// has one that it can use.
func discovered(p *model.WasmPlugin) *corev3.ExtensionConfigSource {
	types := []proto.Message{&httpwasmv3.Wasm{}, &faultv3.HTTPFault{}, &httprbacv3.RBAC{}}
	if p.Network {
		types = []proto.Message{&wasmnetv3.Wasm{}, &rbacnetv3.RBAC{}}
	}
	out := &corev3.ExtensionConfigSource{ConfigSource: envoy.ADS(), DefaultConfig: envoy.Any(without(p))}
	for _, m := range types {
		out.TypeUrls = append(out.TypeUrls, envoy.Any(m).GetTypeUrl())
	}
	return out
}
