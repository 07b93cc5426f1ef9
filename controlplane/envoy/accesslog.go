// SPDX-License-Identifier: Apache-2.0

package envoy

import (
	"strings"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filelogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	withoutqueryv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/formatter/req_without_query/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// DefaultLogFormat is the text format that operators of Istio know.
const DefaultLogFormat = `[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ` +
	`%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% ` +
	`%DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" ` +
	`"%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% ` +
	"%DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"

// logged is what an access log is about.
type logged uint8

const (
	requests logged = iota
	connections
	// refused connections: those that no filter chain takes.
	refused
)

// accessLog of a mesh, where no Telemetry says anything; nil when the settings want
// none. The default providers go before the older fields of MeshConfig.
func accessLog(s *model.Settings, of logged) []*accesslogv3.AccessLog {
	if len(s.Logs) > 0 {
		var out []*accesslogv3.AccessLog
		for _, name := range s.Logs {
			if p := LogProvider(s, name); p != nil {
				out = append(out, Logger(p))
			}
		}
		return out
	}
	var out []*accesslogv3.AccessLog
	if s.AccessLogPath != "" {
		out = append(out, fileLog(&model.LogProvider{Path: s.AccessLogPath, Format: s.AccessLogFormat, JSON: s.AccessLogJSON}))
	}
	if s.LogService {
		out = append(out, serviceLog(of))
	}
	return out
}

func fileLog(p *model.LogProvider) *accesslogv3.AccessLog {
	return &accesslogv3.AccessLog{
		Name: "envoy.access_loggers.file",
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: Any(&filelogv3.FileAccessLog{
			Path:            p.Path,
			AccessLogFormat: &filelogv3.FileAccessLog_LogFormat{LogFormat: logFormat(p)},
		})},
	}
}

// logFormat is text, or JSON. A JSON format that isn't an object, which ingest
// lets nobody have, is taken as none.
func logFormat(p *model.LogProvider) *corev3.SubstitutionFormatString {
	out := &corev3.SubstitutionFormatString{OmitEmptyValues: p.OmitEmpty, Formatters: formatters(p.Format)}
	if !p.JSON {
		format := p.Format
		if format == "" {
			format = DefaultLogFormat
		} else if !strings.HasSuffix(format, "\n") {
			format += "\n" // each call has a line, as in Istio
		}
		out.Format = &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
			Specifier: &corev3.DataSource_InlineString{InlineString: format},
		}}
		return out
	}
	fields := &structpb.Struct{}
	if p.Format == "" || fields.UnmarshalJSON([]byte(p.Format)) != nil {
		fields = defaultLogFields
	}
	out.Format = &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: fields}
	return out
}

// formatters of operators that Envoy has as extensions.
func formatters(format string) []*corev3.TypedExtensionConfig {
	if !strings.Contains(format, "%REQ_WITHOUT_QUERY") {
		return nil
	}
	return []*corev3.TypedExtensionConfig{{Name: "envoy.formatter.req_without_query", TypedConfig: Any(&withoutqueryv3.ReqWithoutQuery{})}}
}

// defaultLogFields are those that operators of Istio know; nobody writes to them.
var defaultLogFields = fieldsOf(map[string]string{
	"authority":                         "%REQ(:AUTHORITY)%",
	"bytes_received":                    "%BYTES_RECEIVED%",
	"bytes_sent":                        "%BYTES_SENT%",
	"connection_termination_details":    "%CONNECTION_TERMINATION_DETAILS%",
	"downstream_local_address":          "%DOWNSTREAM_LOCAL_ADDRESS%",
	"downstream_remote_address":         "%DOWNSTREAM_REMOTE_ADDRESS%",
	"duration":                          "%DURATION%",
	"method":                            "%REQ(:METHOD)%",
	"path":                              "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
	"protocol":                          "%PROTOCOL%",
	"request_id":                        "%REQ(X-REQUEST-ID)%",
	"requested_server_name":             "%REQUESTED_SERVER_NAME%",
	"response_code":                     "%RESPONSE_CODE%",
	"response_code_details":             "%RESPONSE_CODE_DETAILS%",
	"response_flags":                    "%RESPONSE_FLAGS%",
	"route_name":                        "%ROUTE_NAME%",
	"start_time":                        "%START_TIME%",
	"upstream_cluster":                  "%UPSTREAM_CLUSTER_RAW%",
	"upstream_host":                     "%UPSTREAM_HOST%",
	"upstream_local_address":            "%UPSTREAM_LOCAL_ADDRESS%",
	"upstream_service_time":             "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
	"upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
	"user_agent":                        "%REQ(USER-AGENT)%",
	"x_forwarded_for":                   "%REQ(X-FORWARDED-FOR)%",
})

func fieldsOf(formats map[string]string) *structpb.Struct {
	out := &structpb.Struct{Fields: make(map[string]*structpb.Value, len(formats))}
	for name, format := range formats {
		out.Fields[name] = structpb.NewStringValue(format)
	}
	return out
}

// RefusedLog is the access log of connections that no filter chain takes;
// nothing else of a listener is logged there.
func RefusedLog(s *model.Settings) []*accesslogv3.AccessLog {
	if s.NoRefusedLog {
		return nil
	}
	logs := accessLog(s, refused)
	for _, l := range logs {
		l.Filter = RefusedFilter()
	}
	return logs
}

// RefusedFilter holds for connections that no filter chain takes.
func RefusedFilter() *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{
		ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{Flags: []string{"NR"}},
	}}
}
