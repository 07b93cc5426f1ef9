// SPDX-License-Identifier: Apache-2.0

package meshfederation

import (
	"context"
	"fmt"
	"net"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Service is the hub's own, through which members reach it.
type Service struct {
	// Client reads it.
	Client client.Reader
	// Key of the Service.
	Key client.ObjectKey
	// Given is host:port that stands for what the Service says; empty is none.
	Given string
}

// Address finds host:port at which members reach the hub; empty, with what to
// do about it, while nobody knows.
func (s *Service) Address(ctx context.Context) (address, hint string, err error) {
	if s.Given != "" {
		return s.Given, "", nil
	}
	var service corev1.Service
	err = s.Client.Get(ctx, s.Key, &service)
	if apierrors.IsNotFound(err) {
		return "", fmt.Sprintf("there is no Service %s: start the hub with --federation-address=<host:port at which members reach it>", s.Key), nil
	}
	if err != nil {
		return "", "", fmt.Errorf("read Service %s: %w", s.Key, err)
	}
	address, hint = addressOf(&service)
	return address, hint, nil
}

func addressOf(service *corev1.Service) (address, hint string) {
	const give = "give the hub chart federation.address, host:port at which members reach it"
	name := service.Namespace + "/" + service.Name
	switch {
	case len(service.Spec.Ports) == 0:
		return "", fmt.Sprintf("Service %s has no port", name)
	case service.Spec.Type != corev1.ServiceTypeLoadBalancer:
		return "", fmt.Sprintf("Service %s is of type %s, from which no address outside of the cluster follows: %s", name, service.Spec.Type, give)
	}
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		host := ingress.IP
		if host == "" {
			host = ingress.Hostname
		}
		if host != "" {
			return net.JoinHostPort(host, strconv.Itoa(int(service.Spec.Ports[0].Port))), ""
		}
	}
	return "", fmt.Sprintf("Service %s has no load balancer address yet: if the cluster has no load balancer, %s", name, give)
}
