// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"regexp"
	"slices"
	"strings"
)

// operator is one of Envoy's command operators, as its parser reads them.
var operator = regexp.MustCompile(`^%([A-Z0-9_]+)(?:\(([^)]*)\))?(?::([0-9]{1,4}))?%`)

// Operators without an argument, and with one, that Envoy 1.40 takes in header
// values; sorted.
var (
	plainOperators = []string{
		"BYTES_RECEIVED", "BYTES_SENT", "CONNECTION_ID", "CONNECTION_TERMINATION_DETAILS",
		"DOWNSTREAM_DIRECT_LOCAL_ADDRESS", "DOWNSTREAM_DIRECT_REMOTE_ADDRESS", "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
		"DOWNSTREAM_LOCAL_ADDRESS", "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", "DOWNSTREAM_LOCAL_PORT", "DOWNSTREAM_LOCAL_SUBJECT", "DOWNSTREAM_LOCAL_URI_SAN",
		"DOWNSTREAM_PEER_CERT", "DOWNSTREAM_PEER_CERT_V_END", "DOWNSTREAM_PEER_CERT_V_START", "DOWNSTREAM_PEER_FINGERPRINT_1", "DOWNSTREAM_PEER_FINGERPRINT_256",
		"DOWNSTREAM_PEER_ISSUER", "DOWNSTREAM_PEER_SERIAL", "DOWNSTREAM_PEER_SUBJECT", "DOWNSTREAM_PEER_URI_SAN",
		"DOWNSTREAM_REMOTE_ADDRESS", "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "DOWNSTREAM_REMOTE_PORT",
		"DOWNSTREAM_TLS_CIPHER", "DOWNSTREAM_TLS_SESSION_ID", "DOWNSTREAM_TLS_VERSION", "DOWNSTREAM_TRANSPORT_FAILURE_REASON", "DURATION", "EMIT_TIME",
		"GRPC_STATUS", "HOSTNAME", "PROTOCOL", "REQUESTED_SERVER_NAME", "REQUEST_DURATION", "RESPONSE_CODE", "RESPONSE_CODE_DETAILS", "RESPONSE_DURATION",
		"RESPONSE_FLAGS", "RESPONSE_FLAGS_LONG", "RESPONSE_TX_DURATION", "ROUTE_NAME", "START_TIME", "STREAM_ID", "UPSTREAM_CLUSTER", "UPSTREAM_HOST",
		"UPSTREAM_LOCAL_ADDRESS", "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", "UPSTREAM_PROTOCOL", "UPSTREAM_REMOTE_ADDRESS", "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
		"UPSTREAM_REMOTE_PORT", "UPSTREAM_REQUEST_ATTEMPT_COUNT", "UPSTREAM_TLS_CIPHER", "UPSTREAM_TLS_VERSION", "UPSTREAM_TRANSPORT_FAILURE_REASON", "VIRTUAL_CLUSTER_NAME",
	}
	namedOperators = []string{"DYNAMIC_METADATA", "ENVIRONMENT", "FILTER_STATE", "REQ", "RESP", "TRAILER", "UPSTREAM_METADATA"}
)

// argument that every operator with an argument takes.
var argument = regexp.MustCompile(`^[A-Za-z0-9:_.-]+$`)

// alternative is REQ's and RESP's: a header, and another one if that is absent.
var alternative = regexp.MustCompile(`^:?[A-Za-z0-9_-]+(\?:?[A-Za-z0-9_-]+)?$`)

// filterState is FILTER_STATE's: a key, and how its value is written.
var filterState = regexp.MustCompile(`^[A-Za-z0-9_.-]+(:(PLAIN|TYPED|FIELD:[A-Za-z0-9_.-]+))?$`)

// commands keeps the operators of a value that are known and makes every other
// per cent sign literal. unknown is the first that looked like an operator.
func commands(value string) (out, unknown string) {
	var b strings.Builder
	for value != "" {
		i := strings.IndexByte(value, '%')
		if i < 0 {
			break
		}
		b.WriteString(value[:i])
		value = value[i:]
		found := operator.FindStringSubmatch(value)
		switch {
		case strings.HasPrefix(value, "%%"):
			b.WriteString("%%")
			value = value[2:]
		case found != nil && known(found[1], found[2], found[3], strings.Contains(found[0], "(")):
			b.WriteString(found[0])
			value = value[len(found[0]):]
		default:
			if found != nil && unknown == "" {
				unknown = found[0]
			}
			b.WriteString("%%")
			value = value[1:]
		}
	}
	b.WriteString(value)
	return b.String(), unknown
}

// known is true for what Envoy takes: only some operators with an argument may say
// how long their value may be.
func known(name, arg, length string, called bool) bool {
	switch {
	case !called:
		_, ok := slices.BinarySearch(plainOperators, name)
		return ok && length == ""
	case name == "REQ" || name == "RESP" || name == "TRAILER":
		return alternative.MatchString(arg)
	case name == "FILTER_STATE":
		return filterState.MatchString(arg)
	case name == "UPSTREAM_METADATA" && length != "":
		return false
	default:
		_, ok := slices.BinarySearch(namedOperators, name)
		return ok && argument.MatchString(arg)
	}
}
