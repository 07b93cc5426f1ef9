// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"net"
	"strconv"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/ext_authz/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

const (
	httpExtAuthz = "envoy.filters.http.ext_authz"
	tcpExtAuthz  = "envoy.filters.network.ext_authz"
	// defaultTimeout of a question, as Istio has it.
	defaultTimeout = 600 * time.Second
)

func (q question) http() *httpv3.ExtAuthz {
	p := q.provider
	out := &httpv3.ExtAuthz{
		TransportApiVersion:    corev3.ApiVersion_V3,
		FailureModeAllow:       p.FailOpen,
		ClearRouteCache:        p.ClearRouteCache,
		FilterEnabledMetadata:  q.enabled(httpRBAC),
		IncludePeerCertificate: true,
		StatPrefix:             p.Name,
	}
	if p.StatusOnError != 0 {
		out.StatusOnError = &typev3.HttpStatus{Code: typev3.StatusCode(p.StatusOnError)}
	}
	if p.MaxBodyBytes > 0 {
		out.WithRequestBody = &httpv3.BufferSettings{
			MaxRequestBytes: p.MaxBodyBytes, AllowPartialMessage: p.AllowPartialBody, PackAsBytes: p.PackBodyAsBytes,
		}
	}
	if p.GRPC {
		out.Services = &httpv3.ExtAuthz_GrpcService{GrpcService: q.grpc()}
		return out
	}
	out.AllowedHeaders = names(p.IncludeRequestHeaders)
	service := &httpv3.HttpService{
		ServerUri: &corev3.HttpUri{
			Uri:              "http://" + net.JoinHostPort(string(p.Host), strconv.Itoa(int(p.Port))),
			HttpUpstreamType: &corev3.HttpUri_Cluster{Cluster: envoy.Outbound(p.Port, p.Host)},
			Timeout:          q.timeout(),
		},
		PathPrefix: p.PathPrefix,
		AuthorizationResponse: &httpv3.AuthorizationResponse{
			AllowedUpstreamHeaders:        names(p.HeadersToUpstreamOnAllow),
			AllowedClientHeaders:          names(p.HeadersToDownstreamOnDeny),
			AllowedClientHeadersOnSuccess: names(p.HeadersToDownstreamOnAllow),
		},
	}
	if len(p.IncludeAdditionalRequestHeaders) > 0 {
		service.AuthorizationRequest = &httpv3.AuthorizationRequest{HeadersToAdd: added(p.IncludeAdditionalRequestHeaders)}
	}
	out.Services = &httpv3.ExtAuthz_HttpService{HttpService: service}
	return out
}

func (q question) tcp() *tcpv3.ExtAuthz {
	return &tcpv3.ExtAuthz{
		StatPrefix:             statPrefix,
		TransportApiVersion:    corev3.ApiVersion_V3,
		GrpcService:            q.grpc(),
		FailureModeAllow:       q.provider.FailOpen,
		FilterEnabledMetadata:  q.enabled(tcpRBAC),
		IncludePeerCertificate: true,
	}
}

func (q question) grpc() *corev3.GrpcService {
	return &corev3.GrpcService{
		TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{
			ClusterName: envoy.Outbound(q.provider.Port, q.provider.Host),
			Authority:   string(q.provider.Host),
		}},
		Timeout: q.timeout(),
	}
}

func (q question) timeout() *durationpb.Duration {
	if q.provider.TimeoutMillis > 0 {
		return durationpb.New(time.Duration(q.provider.TimeoutMillis) * time.Millisecond)
	}
	return durationpb.New(defaultTimeout)
}

// names of headers; nil for none, which has a meaning of its own.
func names(values []string) *matcherv3.ListStringMatcher {
	if len(values) == 0 {
		return nil
	}
	out := &matcherv3.ListStringMatcher{}
	for _, v := range values {
		out.Patterns = append(out.Patterns, parse(strings.ToLower(v)).matcher(true))
		if last := out.Patterns[len(out.Patterns)-1]; last.GetSafeRegex() != nil {
			last.IgnoreCase = false
		}
	}
	return out
}

func added(headers []model.Header) []*corev3.HeaderValue {
	out := make([]*corev3.HeaderValue, len(headers))
	for i, h := range headers {
		out[i] = &corev3.HeaderValue{Key: strings.ToLower(h.Name), Value: h.Value}
	}
	return out
}
