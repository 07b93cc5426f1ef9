// SPDX-License-Identifier: Apache-2.0

package envoy

import (
	"cmp"
	"strings"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	grpclogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	otellogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/open_telemetry/v3"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// LogServiceCluster is the bootstrap's cluster of ProxyConfig's envoyAccessLogService.
const LogServiceCluster = "envoy_accesslog_service"

// Names of the loggers, which are Istio's.
const (
	httpLogger = "envoy.access_loggers.http_grpc"
	tcpLogger  = "envoy.tcp_grpc_access_log"
	otelLogger = "envoy.access_loggers.open_telemetry"
)

// LogProvider by its name, whatever its case; nil when there is none.
func LogProvider(s *model.Settings, name string) *model.LogProvider {
	for i := range s.LogProviders {
		if strings.EqualFold(s.LogProviders[i].Name, name) {
			return &s.LogProviders[i]
		}
	}
	return nil
}

// LogClusters are what providers of access logs are called by, sorted by provider.
func LogClusters(s *model.Settings) []string {
	var out []string
	for _, p := range s.LogProviders {
		if p.Kind != model.FileLog {
			out = append(out, Outbound(p.Port, p.Host))
		}
	}
	return out
}

// Logger of a provider.
func Logger(p *model.LogProvider) *accesslogv3.AccessLog {
	to := &grpclogv3.CommonGrpcAccessLogConfig{
		LogName: p.LogName, TransportApiVersion: corev3.ApiVersion_V3, FilterStateObjectsToLog: p.FilterState,
		GrpcService: grpcTo(Outbound(p.Port, p.Host), string(p.Host)),
	}
	switch p.Kind {
	case model.HTTPLog:
		return &accesslogv3.AccessLog{Name: httpLogger, ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: Any(&grpclogv3.HttpGrpcAccessLogConfig{
			CommonConfig: to, AdditionalRequestHeadersToLog: p.RequestHeaders,
			AdditionalResponseHeadersToLog: p.ResponseHeaders, AdditionalResponseTrailersToLog: p.ResponseTrailers,
		})}}
	case model.TCPLog:
		return &accesslogv3.AccessLog{Name: tcpLogger, ConfigType: &accesslogv3.AccessLog_TypedConfig{
			TypedConfig: Any(&grpclogv3.TcpGrpcAccessLogConfig{CommonConfig: to}),
		}}
	case model.OpenTelemetryLog:
		return &accesslogv3.AccessLog{Name: otelLogger, ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: Any(openTelemetry(p, to.GetGrpcService()))}}
	default:
		return fileLog(p)
	}
}

func openTelemetry(p *model.LogProvider, to *corev3.GrpcService) *otellogv3.OpenTelemetryAccessLogConfig {
	text := func(s string) *commonv1.AnyValue {
		return &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: s}}
	}
	out := &otellogv3.OpenTelemetryAccessLogConfig{
		GrpcService: to, LogName: p.LogName, DisableBuiltinLabels: true, Body: text(cmp.Or(p.Format, DefaultLogFormat)),
	}
	formats := p.Format
	for _, a := range p.Attributes {
		if out.Attributes == nil {
			out.Attributes = &commonv1.KeyValueList{}
		}
		out.Attributes.Values = append(out.Attributes.Values, &commonv1.KeyValue{Key: a.Name, Value: text(a.Value)})
		formats += a.Value
	}
	out.Formatters = formatters(formats)
	return out
}

// serviceLog goes to the service that the proxy's own configuration names.
func serviceLog(of logged) *accesslogv3.AccessLog {
	to := &grpclogv3.CommonGrpcAccessLogConfig{
		LogName: "tcp_envoy_accesslog", TransportApiVersion: corev3.ApiVersion_V3, GrpcService: grpcTo(LogServiceCluster, ""),
	}
	switch of {
	case requests:
		to.LogName = "http_envoy_accesslog"
		return &accesslogv3.AccessLog{Name: httpLogger, ConfigType: &accesslogv3.AccessLog_TypedConfig{
			TypedConfig: Any(&grpclogv3.HttpGrpcAccessLogConfig{CommonConfig: to}),
		}}
	case refused:
		to.LogName = "listener_envoy_accesslog"
	}
	return &accesslogv3.AccessLog{Name: tcpLogger, ConfigType: &accesslogv3.AccessLog_TypedConfig{
		TypedConfig: Any(&grpclogv3.TcpGrpcAccessLogConfig{CommonConfig: to}),
	}}
}

func grpcTo(cluster, authority string) *corev3.GrpcService {
	return &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{
		ClusterName: cluster, Authority: authority,
	}}}
}
