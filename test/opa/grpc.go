// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"net/http"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
)

// checker is the gRPC authorizer.
type checker struct {
	authv3.UnimplementedAuthorizationServer
	policy *Policy
}

func (c *checker) Check(ctx context.Context, r *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	d := c.policy.on(ctx, r)
	if d.Allowed {
		return &authv3.CheckResponse{
			Status: &status.Status{Code: int32(codes.OK)},
			HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
				Headers: options(d.Headers), ResponseHeadersToAdd: options(d.ResponseHeaders), HeadersToRemove: d.Remove,
			}},
		}, nil
	}
	return &authv3.CheckResponse{
		Status: &status.Status{Code: int32(codes.PermissionDenied)},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status: &typev3.HttpStatus{Code: typev3.StatusCode(d.Status)}, Headers: options(d.Headers), Body: d.Body,
		}},
	}, nil
}

// on decides on a call as Envoy tells it.
func (p *Policy) on(ctx context.Context, r *authv3.CheckRequest) Decision {
	input, err := document(r)
	d := refused
	if err == nil {
		d = p.Decide(ctx, input)
	}
	request := r.GetAttributes().GetRequest().GetHttp()
	slog.Info("decided", "allowed", d.Allowed, "method", request.GetMethod(), "path", request.GetPath(),
		"principal", r.GetAttributes().GetSource().GetPrincipal(), "error", err)
	return d
}

// options replace what there is of a header's name with the first value, and
// append the others.
func options(h http.Header) []*corev3.HeaderValueOption {
	var out []*corev3.HeaderValueOption
	for _, name := range keys(h) {
		action := corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
		for _, v := range h[name] {
			out = append(out, &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: name, Value: v}, AppendAction: action})
			action = corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD
		}
	}
	return out
}
