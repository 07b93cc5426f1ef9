// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

// unreachedHeader is what a sidecar says when it could not connect to its
// application: no part of the request got there, so the caller's sidecar may
// send it elsewhere, whatever its method. That is what happens for a moment
// to a pod that ends: the application has gone, and its sidecar still holds
// connections of callers that have not heard of it. Applications never see the
// header, and cannot say it.
const unreachedHeader = "x-isthmesh-unreached"

// sayUnreached adds the header to answers that the sidecar gives in place of an
// application that it could not connect to (response flag UF).
func sayUnreached() *hcmv3.LocalReplyConfig {
	return &hcmv3.LocalReplyConfig{Mappers: []*hcmv3.ResponseMapper{{
		Filter: &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{
			ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{Flags: []string{"UF"}},
		}},
		HeadersToAdd: []*corev3.HeaderValueOption{{
			Header:       &corev3.HeaderValue{Key: unreachedHeader, Value: "1"},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}},
	}}}
}

// unreached matches an answer of a sidecar that could not reach its application.
func unreached() *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{
		Name:                 unreachedHeader,
		HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true},
	}
}
