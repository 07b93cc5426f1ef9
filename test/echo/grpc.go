// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The one method: it takes nothing and returns an Answer as JSON. Its messages
// are well-known ones, so that no code has to be generated.
const (
	grpcService = "isthmesh.test.Echo"
	grpcMethod  = "/" + grpcService + "/Echo"
)

type echoer interface {
	answerGRPC(context.Context) Answer
}

func register(registrar *grpc.Server, s *server) {
	registrar.RegisterService(&grpc.ServiceDesc{
		ServiceName: grpcService,
		HandlerType: (*echoer)(nil),
		Methods: []grpc.MethodDesc{{
			MethodName: "Echo",
			Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				if err := decode(&emptypb.Empty{}); err != nil {
					return nil, err
				}
				answer := s.answerGRPC(ctx)
				s.record(answer)
				text, err := json.Marshal(answer)
				return wrapperspb.Bytes(text), err
			},
		}},
	}, s)
	healthpb.RegisterHealthServer(registrar, health.NewServer())
}

func (s *server) answerGRPC(ctx context.Context) Answer {
	answer := Answer{Hostname: s.hostname, Version: s.version, Protocol: "gRPC", Path: grpcMethod}
	if headers, ok := metadata.FromIncomingContext(ctx); ok {
		answer.Headers = headers
	}
	if authority := answer.Headers[":authority"]; len(authority) > 0 {
		answer.Host = authority[0]
	}
	if client, ok := peer.FromContext(ctx); ok {
		answer.RemoteAddr = client.Addr.String()
	}
	return answer
}

// callGRPC calls the method once.
func callGRPC(ctx context.Context, conn *grpc.ClientConn) (Answer, error) {
	var reply wrapperspb.BytesValue
	if err := conn.Invoke(ctx, grpcMethod, &emptypb.Empty{}, &reply); err != nil {
		return Answer{}, err
	}
	var answer Answer
	err := json.Unmarshal(reply.Value, &answer)
	return answer, err
}
