// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	meshapi "istio.io/api/mesh/v1alpha1"
	clientnetworking "istio.io/client-go/pkg/apis/networking/v1"
	istio "istio.io/client-go/pkg/clientset/versioned"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/kubernetes"

	"github.com/isthmesh/isthmesh/controlplane/agent/machine"
	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/inject"
)

// workloadCluster reads what a machine's files are made of, with the user's rights.
type workloadCluster struct {
	kube  kubernetes.Interface
	istio istio.Interface
	o     *workloadOptions
}

func newWorkloadCluster(access *genericclioptions.ConfigFlags, o *workloadOptions) (*workloadCluster, error) {
	config, err := access.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w; name one with --kubeconfig and --context", err)
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("reach the API server %s: %w", config.Host, err)
	}
	networking, err := istio.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("reach the API server %s: %w", config.Host, err)
	}
	return &workloadCluster{kube: kube, istio: networking, o: o}, nil
}

func (c *workloadCluster) group(ctx context.Context, namespace, name string) (*clientnetworking.WorkloadGroup, error) {
	g, err := c.istio.NetworkingV1().WorkloadGroups(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read WorkloadGroup %s/%s: %w", namespace, name, err)
	}
	return g, nil
}

// text of a key of a ConfigMap.
func (c *workloadCluster) text(ctx context.Context, namespace, name, key string) (string, error) {
	m, err := c.kube.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("read ConfigMap %s/%s: %w", namespace, name, err)
	}
	return m.Data[key], nil
}

func (c *workloadCluster) mesh(ctx context.Context) (*meshapi.MeshConfig, error) {
	text, err := c.text(ctx, c.o.root, "istio"+c.o.suffix(), "mesh")
	if err != nil {
		return nil, err
	}
	return inject.ParseMesh(text)
}

// values of the injector, as pods of the cluster get them.
func (c *workloadCluster) values(ctx context.Context) (machine.Cluster, error) {
	name := "istio-sidecar-injector" + c.o.suffix()
	text, err := c.text(ctx, c.o.root, name, "values")
	if err != nil {
		return machine.Cluster{}, err
	}
	var values struct {
		Global struct {
			MeshID       string `json:"meshID"`
			MultiCluster struct {
				ClusterName string `json:"clusterName"`
			} `json:"multiCluster"`
			Proxy struct {
				ClusterDomain string `json:"clusterDomain"`
			} `json:"proxy"`
		} `json:"global"`
	}
	if err := json.Unmarshal([]byte(text), &values); err != nil {
		return machine.Cluster{}, fmt.Errorf("ConfigMap %s/%s, values: %w", c.o.root, name, err)
	}
	g := values.Global
	return machine.Cluster{ID: g.MultiCluster.ClusterName, MeshID: g.MeshID, Domain: g.Proxy.ClusterDomain}, nil
}

func (c *workloadCluster) rootCertificate(ctx context.Context, namespace string) (string, error) {
	text, err := c.text(ctx, namespace, "istio-ca-root-cert", "root-cert.pem")
	if err == nil && text == "" {
		err = fmt.Errorf("ConfigMap %s/istio-ca-root-cert has no root-cert.pem yet: the control plane writes it", namespace)
	}
	return text, err
}

// token of the machine's service account, for the control plane alone.
func (c *workloadCluster) token(ctx context.Context, namespace, account string) (string, error) {
	answer, err := c.kube.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, account, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: []string{authn.Audience}, ExpirationSeconds: &c.o.tokenSeconds},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("make a token of service account %s/%s: %w", namespace, account, err)
	}
	return answer.Status.Token, nil
}

// hosts is the line that leads the machine to the control plane, or a warning why
// there is none.
func (c *workloadCluster) hosts(ctx context.Context) (line, warning string, err error) {
	at := c.o.ingressIP
	if at == "" {
		name, namespace, _ := strings.Cut(c.o.ingressService, ".")
		if namespace == "" {
			namespace = c.o.root
		}
		service, err := c.kube.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			service = &corev1.Service{}
		case err != nil:
			return "", "", fmt.Errorf("read Service %s/%s: %w; or say the address with --ingressIP", namespace, name, err)
		}
		if at = addressOf(service); at == "" {
			return "", fmt.Sprintf("hosts is empty: Service %s/%s has no address outside the cluster; say with --ingressIP where the machine reaches %s:15012", namespace, name, c.o.controlPlane()), nil
		}
	}
	return at + " " + c.o.controlPlane() + "\n", "", nil
}

// addressOf a Service outside the cluster; empty without one. A name can't stand
// in a file of hosts.
func addressOf(s *corev1.Service) string {
	for _, i := range s.Status.LoadBalancer.Ingress {
		if _, err := netip.ParseAddr(i.IP); err == nil {
			return i.IP
		}
	}
	for _, ip := range s.Spec.ExternalIPs {
		if _, err := netip.ParseAddr(ip); err == nil {
			return ip
		}
	}
	return ""
}
