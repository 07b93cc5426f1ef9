// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	meshapi "istio.io/api/mesh/v1alpha1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// logOperators are Envoy's command operators in access log formats, and whether
// they need arguments. Envoy refuses a listener with any other.
var logOperators = map[string]bool{
	"REQ": true, "RESP": true, "TRAILER": true, "DYNAMIC_METADATA": true, "CLUSTER_METADATA": true, "UPSTREAM_METADATA": true,
	"FILTER_STATE": true, "UPSTREAM_FILTER_STATE": true, "METADATA": true, "ENVIRONMENT": true, "COMMON_DURATION": true,
	"REQUESTED_SERVER_NAME": false, "START_TIME": false, "START_TIME_LOCAL": false, "EMIT_TIME": false, "EMIT_TIME_LOCAL": false,
	"PROTOCOL": false, "UPSTREAM_PROTOCOL": false, "RESPONSE_CODE": false, "RESPONSE_CODE_DETAILS": false, "RESPONSE_FLAGS": false, "RESPONSE_FLAGS_LONG": false,
	"CONNECTION_TERMINATION_DETAILS": false, "BYTES_RECEIVED": false, "BYTES_SENT": false, "BYTES_RETRANSMITTED": false, "PACKETS_RETRANSMITTED": false,
	"UPSTREAM_WIRE_BYTES_SENT": false, "UPSTREAM_WIRE_BYTES_RECEIVED": false, "UPSTREAM_HEADER_BYTES_SENT": false, "UPSTREAM_HEADER_BYTES_RECEIVED": false,
	"DOWNSTREAM_WIRE_BYTES_SENT": false, "DOWNSTREAM_WIRE_BYTES_RECEIVED": false, "DOWNSTREAM_HEADER_BYTES_SENT": false, "DOWNSTREAM_HEADER_BYTES_RECEIVED": false,
	"DURATION": false, "REQUEST_DURATION": false, "REQUEST_TX_DURATION": false, "RESPONSE_DURATION": false, "RESPONSE_TX_DURATION": false,
	"ROUNDTRIP_DURATION": false, "DOWNSTREAM_HANDSHAKE_DURATION": false, "UPSTREAM_CONNECTION_POOL_READY_DURATION": false,
	"UPSTREAM_HOST": false, "UPSTREAM_HOST_NAME": false, "UPSTREAM_HOST_NAME_WITHOUT_PORT": false, "UPSTREAM_CLUSTER": false, "UPSTREAM_CLUSTER_RAW": false,
	"UPSTREAM_LOCAL_ADDRESS": false, "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": false, "UPSTREAM_LOCAL_PORT": false, "UPSTREAM_CONNECTION_ID": false,
	"UPSTREAM_REMOTE_ADDRESS": false, "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": false, "UPSTREAM_REMOTE_PORT": false, "UPSTREAM_REQUEST_ATTEMPT_COUNT": false,
	"UPSTREAM_TLS_CIPHER": false, "UPSTREAM_TLS_VERSION": false, "UPSTREAM_TLS_SESSION_ID": false, "UPSTREAM_PEER_ISSUER": false, "UPSTREAM_PEER_CERT": false,
	"UPSTREAM_PEER_SUBJECT": false, "UPSTREAM_PEER_URI_SAN": false, "UPSTREAM_PEER_DNS_SAN": false, "UPSTREAM_TRANSPORT_FAILURE_REASON": false,
	"DOWNSTREAM_REMOTE_ADDRESS": false, "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": false, "DOWNSTREAM_REMOTE_PORT": false,
	"DOWNSTREAM_DIRECT_REMOTE_ADDRESS": false, "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": false, "DOWNSTREAM_DIRECT_REMOTE_PORT": false,
	"DOWNSTREAM_LOCAL_ADDRESS": false, "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": false, "DOWNSTREAM_LOCAL_PORT": false,
	"DOWNSTREAM_TLS_CIPHER": false, "DOWNSTREAM_TLS_VERSION": false, "DOWNSTREAM_TLS_SESSION_ID": false, "DOWNSTREAM_TRANSPORT_FAILURE_REASON": false,
	"DOWNSTREAM_PEER_FINGERPRINT_1": false, "DOWNSTREAM_PEER_FINGERPRINT_256": false, "DOWNSTREAM_PEER_SERIAL": false, "DOWNSTREAM_PEER_ISSUER": false,
	"DOWNSTREAM_PEER_SUBJECT": false, "DOWNSTREAM_PEER_URI_SAN": false, "DOWNSTREAM_PEER_DNS_SAN": false, "DOWNSTREAM_PEER_CERT": false,
	"DOWNSTREAM_PEER_CERT_V_START": false, "DOWNSTREAM_PEER_CERT_V_END": false, "DOWNSTREAM_LOCAL_URI_SAN": false, "DOWNSTREAM_LOCAL_DNS_SAN": false,
	"DOWNSTREAM_LOCAL_SUBJECT": false, "CONNECTION_ID": false, "STREAM_ID": false, "UNIQUE_ID": false, "TRACE_ID": false, "SPAN_ID": false,
	"ROUTE_NAME": false, "VIRTUAL_CLUSTER_NAME": false, "HOSTNAME": false, "GRPC_STATUS": false, "GRPC_STATUS_NUMBER": false,
	"LOCAL_REPLY_BODY": false, "FILTER_CHAIN_NAME": false, "ACCESS_LOG_TYPE": false,
	"TLS_JA3_FINGERPRINT": false, "TLS_JA4_FINGERPRINT": false, "DOWNSTREAM_LOCAL_CLOSE_REASON": false, "QUERY_PARAM": true, "REQ_WITHOUT_QUERY": true, "CEL": true, "QUERY_PARAMS": false, "PATH": false,
}

// applyAccessLog reads the encoding and checks the format. A format that Envoy
// would refuse is not used: it would cost every listener.
func (s *settings) applyAccessLog(e *model.Settings, report reporter) {
	e.AccessLogJSON = e.AccessLogJSON || s.config.GetAccessLogEncoding() == meshapi.MeshConfig_JSON
	if e.AccessLogFormat == "" {
		return
	}
	why := ""
	if e.AccessLogJSON {
		why = wrongJSONFormat(e.AccessLogFormat)
	} else {
		why = wrongFormat(e.AccessLogFormat)
	}
	if why != "" {
		report("accessLogFormat", Invalid, "the default format is used: %s", why)
		e.AccessLogFormat = ""
	}
}

// wrongJSONFormat says why a text is no JSON object of formats.
func wrongJSONFormat(text string) string {
	fields := map[string]any{}
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		return "with encoding JSON it must be a JSON object of names and operators"
	}
	return wrongValue("", fields)
}

func wrongValue(path string, value any) string {
	switch v := value.(type) {
	case string:
		if why := wrongFormat(v); why != "" {
			return path + ": " + why
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if why := wrongValue(strings.TrimPrefix(path+"."+name, "."), v[name]); why != "" {
				return why
			}
		}
	case []any:
		for i, element := range v {
			if why := wrongValue(fmt.Sprintf("%s[%d]", path, i), element); why != "" {
				return why
			}
		}
	case nil:
		return path + ": null says nothing; remove the field"
	}
	return ""
}

// wrongFormat says why a text is no format of Envoy's access log; empty when it
// is one: operators between per cent signs, and %% for the sign itself.
func wrongFormat(text string) string {
	for {
		at := strings.IndexByte(text, '%')
		if at < 0 {
			return ""
		}
		text = text[at+1:]
		if strings.HasPrefix(text, "%") {
			text = text[1:]
			continue
		}
		name, rest := splitOperator(text)
		needs, known := logOperators[name]
		if !known {
			return fmt.Sprintf("%q is no operator of Envoy; correct it, or write %%%% for a per cent sign", "%"+name)
		}
		argument := false
		if strings.HasPrefix(rest, "(") {
			end := strings.IndexByte(rest, ')')
			if end < 0 {
				return fmt.Sprintf("the argument of %s has no end; close the parenthesis", name)
			}
			argument, rest = end > 1, rest[end+1:]
		}
		if needs && !argument {
			return fmt.Sprintf("%s needs an argument in parentheses", name)
		}
		if length, ok := strings.CutPrefix(rest, ":"); ok {
			rest = strings.TrimLeft(length, "0123456789")
			if rest == length {
				return fmt.Sprintf("the length of %s is no number", name)
			}
		}
		if !strings.HasPrefix(rest, "%") {
			return fmt.Sprintf("operator %s doesn't end with a per cent sign", name)
		}
		text = rest[1:]
	}
}

// splitOperator cuts the name of an operator off.
func splitOperator(text string) (name, rest string) {
	end := strings.IndexFunc(text, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' })
	if end < 0 {
		end = len(text)
	}
	return text[:end], text[end:]
}
