// SPDX-License-Identifier: Apache-2.0

package model

// LogProvider is where access logs go (MeshConfig's extensionProviders of the kinds
// envoyFileAccessLog, envoyHttpAls, envoyTcpAls and envoyOtelAls).
type LogProvider struct {
	// Name by which Telemetries and defaultProviders refer to it, whatever its case.
	Name string
	Kind LogKind
	// Path of a file.
	Path string
	// JSON writes objects; Format is then one, of names and Envoy's operators. Else
	// Format is a line of text. Empty for Istio's own. Of OpenTelemetry it is the body.
	JSON   bool
	Format string
	// OmitEmpty leaves out what has no value.
	OmitEmpty bool
	// Namespace (may be empty), Host and Port of a service that logs are sent to.
	Namespace string
	Host      Hostname
	Port      uint16
	// LogName is what the service knows the log by.
	LogName string
	// FilterState, RequestHeaders, ResponseHeaders and ResponseTrailers are sent, too.
	FilterState, RequestHeaders, ResponseHeaders, ResponseTrailers []string
	// Attributes of OpenTelemetry, sorted by name; their values are formats.
	Attributes []Header
}

// LogKind is how logs are written.
type LogKind uint8

// The kinds.
const (
	// FileLog writes lines.
	FileLog LogKind = iota
	// HTTPLog and TCPLog speak the protocol of Envoy's access log service.
	HTTPLog
	TCPLog
	// OpenTelemetryLog speaks OTLP.
	OpenTelemetryLog
)

// Telemetry says what some workloads log and count (telemetry.istio.io). Its pointer changes
// when anything in it changes.
type Telemetry struct {
	Origin
	Target  Target
	Logs    []LogRule
	Metrics []MetricRule
}

// LogRule is one of a Telemetry's accessLogging.
type LogRule struct {
	// Providers by their names in lower case; none are those of the next wider Telemetry.
	Providers []string
	Side      PluginMode
	Disabled  bool
	// Filter is an expression (CEL) that holds for what is logged; empty for all.
	Filter string
}
