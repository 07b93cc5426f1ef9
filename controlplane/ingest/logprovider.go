// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"
	meshapi "istio.io/api/mesh/v1alpha1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// standardOutput is where logs go that say nowhere else, and builtinLog the provider
// that is there without being written, as in Istio.
const (
	standardOutput = "/dev/stdout"
	builtinLog     = "envoy"
)

// logProvider reads a provider of access logs; false for one of another kind.
func (c *providerCheck) logProvider(p *meshapi.MeshConfig_ExtensionProvider) (model.LogProvider, bool) {
	out := model.LogProvider{Name: p.GetName()}
	switch {
	case p.GetEnvoyFileAccessLog() != nil:
		c.file(&out, p.GetEnvoyFileAccessLog())
	case p.GetEnvoyHttpAls() != nil:
		of := p.GetEnvoyHttpAls()
		out.Kind, out.LogName = model.HTTPLog, cmp.Or(of.GetLogName(), "http_envoy_accesslog")
		out.Namespace, out.Host, out.Port = c.service(of.GetService(), of.GetPort())
		out.FilterState = of.GetFilterStateObjectsToLog()
		out.RequestHeaders = c.logged("additionalRequestHeadersToLog", of.GetAdditionalRequestHeadersToLog())
		out.ResponseHeaders = c.logged("additionalResponseHeadersToLog", of.GetAdditionalResponseHeadersToLog())
		out.ResponseTrailers = c.logged("additionalResponseTrailersToLog", of.GetAdditionalResponseTrailersToLog())
	case p.GetEnvoyTcpAls() != nil:
		of := p.GetEnvoyTcpAls()
		out.Kind, out.LogName = model.TCPLog, cmp.Or(of.GetLogName(), "tcp_envoy_accesslog")
		out.Namespace, out.Host, out.Port = c.service(of.GetService(), of.GetPort())
		out.FilterState = of.GetFilterStateObjectsToLog()
	case p.GetEnvoyOtelAls() != nil:
		of := p.GetEnvoyOtelAls()
		out.Kind, out.LogName = model.OpenTelemetryLog, cmp.Or(of.GetLogName(), "otel_envoy_accesslog")
		out.Namespace, out.Host, out.Port = c.service(of.GetService(), of.GetPort())
		out.Format = of.GetLogFormat().GetText()
		c.format("logFormat.text", out.Format)
		out.Attributes = c.attributes(of.GetLogFormat().GetLabels())
	default:
		return out, false
	}
	return out, true
}

func (c *providerCheck) file(out *model.LogProvider, p *meshapi.MeshConfig_ExtensionProvider_EnvoyFileAccessLogProvider) {
	out.Path, out.OmitEmpty = cmp.Or(p.GetPath(), standardOutput), p.GetOmitEmptyValues()
	switch f := p.GetLogFormat().GetLogFormat().(type) {
	case *meshapi.MeshConfig_ExtensionProvider_EnvoyFileAccessLogProvider_LogFormat_Text:
		out.Format = f.Text
		c.format("logFormat.text", f.Text)
	case *meshapi.MeshConfig_ExtensionProvider_EnvoyFileAccessLogProvider_LogFormat_Labels:
		out.JSON = true
		if len(f.Labels.GetFields()) == 0 {
			return
		}
		text, err := json.Marshal(f.Labels.AsMap())
		why := ""
		if err == nil {
			out.Format = string(text)
			why = wrongJSONFormat(out.Format)
		} else {
			why = err.Error()
		}
		if why != "" {
			c.refuseLog("logFormat.labels", "%s", why)
		}
	}
}

// refuseLog a field of a provider of logs.
func (c *providerCheck) refuseLog(field, format string, args ...any) {
	c.broken = true
	c.report(field, Invalid, format+"; the provider is left out, and nothing is logged to it", args...)
}

func (c *providerCheck) format(field, text string) {
	if why := wrongFormat(text); why != "" {
		c.refuseLog(field, "%s", why)
	}
}

// attributes whose values are formats.
func (c *providerCheck) attributes(labels *structpb.Struct) []model.Header {
	var out []model.Header
	for _, name := range slices.Sorted(maps.Keys(labels.GetFields())) {
		value, ok := labels.GetFields()[name].GetKind().(*structpb.Value_StringValue)
		if !ok {
			c.refuseLog("logFormat.labels["+name+"]", "it is no text; write a text with operators of Envoy")
			continue
		}
		c.format("logFormat.labels["+name+"]", value.StringValue)
		out = append(out, model.Header{Name: name, Value: value.StringValue})
	}
	return out
}

// service that logs are sent to.
func (c *providerCheck) service(text string, port uint32) (string, model.Hostname, uint16) {
	namespace, host, ok := serviceNamed(text)
	switch {
	case !ok:
		c.refuseLog("service", "%q is no host; write the full name of a service, with namespace/ in front where several have that name", text)
	case port == 0 || port > 65535:
		c.refuseLog("port", "%d is no port; use 1 to 65535", port)
	}
	return namespace, host, uint16(port)
}

func (c *providerCheck) logged(field string, headers []string) []string {
	for i, h := range headers {
		if !isHeader(h) {
			c.refuseLog(fmt.Sprintf("%s[%d]", field, i), "%q is no name of a header", h)
		}
	}
	return headers
}

// applyLogs reads where logs go by default.
func (s *settings) applyLogs(e *model.Settings, report reporter) {
	is := func(name string) func(model.LogProvider) bool {
		return func(p model.LogProvider) bool { return strings.EqualFold(p.Name, name) }
	}
	// The installation's own, if any, are not to be changed.
	e.LogProviders, e.Logs = slices.Clone(e.LogProviders), slices.Clone(e.Logs)
	for i, p := range e.LogProviders {
		if p.Name == builtinLog && p.Kind == model.FileLog && p.Format == "" && !p.JSON && !p.OmitEmpty {
			e.LogProviders[i].Format, e.LogProviders[i].JSON = e.AccessLogFormat, e.AccessLogJSON
		}
	}
	if !slices.ContainsFunc(e.LogProviders, is(builtinLog)) {
		e.LogProviders = append(e.LogProviders, model.LogProvider{Name: builtinLog, Path: standardOutput, Format: e.AccessLogFormat, JSON: e.AccessLogJSON})
		slices.SortFunc(e.LogProviders, func(a, b model.LogProvider) int { return strings.Compare(a.Name, b.Name) })
	}
	defaults := s.config.GetDefaultProviders()
	for i, name := range defaults.GetAccessLogging() {
		if !slices.ContainsFunc(e.LogProviders, is(name)) {
			report(fmt.Sprintf("defaultProviders.accessLogging[%d]", i), Invalid, "no provider of access logs is called %q; add it to extensionProviders, or correct the name", name)
			continue
		}
		e.Logs = append(e.Logs, strings.ToLower(name))
	}
	if len(defaults.GetTracing()) > 0 {
		report("defaultProviders.tracing", NotSupported, "spans are not sent; remove it, or use an EnvoyFilter with a tracing provider")
	}
	if !s.config.GetEnableEnvoyAccessLogService() {
		return
	}
	if s.config.GetDefaultConfig().GetEnvoyAccessLogService().GetAddress() == "" {
		report("enableEnvoyAccessLogService", Invalid, "nobody says where the service is, so nothing is sent; set defaultConfig.envoyAccessLogService.address")
		return
	}
	e.LogService = true
}
