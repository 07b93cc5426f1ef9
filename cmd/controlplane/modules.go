// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/wasm"
)

// modules has the modules fetched that WasmPlugins name, from anywhere but the
// API server, this process and what package wasm never connects to.
type modules struct {
	*wasm.Fetcher
	forbidden atomic.Pointer[[]netip.Prefix]
}

// newModules reads pull Secrets with kube; plain are registries that are asked
// without TLS.
func newModules(kube kubernetes.Interface, plain []string, metrics *prometheus.Registry, changed func()) *modules {
	m := &modules{}
	m.Fetcher = wasm.New(wasm.Options{
		Permit: m.permit, Plain: plain, Registry: metrics,
		Secret: func(ctx context.Context, namespace, name string) ([]byte, error) {
			return pullSecret(ctx, kube, namespace, name)
		},
	}, changed)
	return m
}

func (m *modules) permit(a netip.Addr) error {
	var forbidden []netip.Prefix
	if all := m.forbidden.Load(); all != nil {
		forbidden = *all
	}
	return wasm.Guard(forbidden...)(a)
}

// want what a mesh wants.
func (m *modules) want(result *ingest.Result, apiServer string) {
	forbidden := append(own(), servers(result.Mesh)...)
	if a, err := netip.ParseAddr(apiServer); err == nil {
		forbidden = append(forbidden, one(a))
	}
	m.forbidden.Store(&forbidden)
	m.Want(result.WantedModules())
}

// settled is true when all that is wanted has been tried once.
func (m *modules) settled(result *ingest.Result) bool { return m.Settled(result.WantedModules()) }

func (m *modules) run(ctx context.Context) error { return m.Run(ctx) }

// pullSecret is the Docker configuration in a Secret.
func pullSecret(ctx context.Context, kube kubernetes.Interface, namespace, name string) ([]byte, error) {
	s, err := kube.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, wasm.NotFound()
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("the control plane may not read Secrets of namespace %s yet; it gives itself the right within a minute", namespace)
	case err != nil:
		return nil, errors.New("the API server can't be asked for it just now")
	case len(s.Data[corev1.DockerConfigJsonKey]) == 0:
		return nil, fmt.Errorf("it has no key %s: create it of type %s", corev1.DockerConfigJsonKey, corev1.SecretTypeDockerConfigJson)
	}
	return s.Data[corev1.DockerConfigJsonKey], nil
}

// pullSecrets that modules are fetched with, for the right to read them.
func pullSecrets(result *ingest.Result) []model.CredentialRef {
	var out []model.CredentialRef
	for _, w := range result.WantedModules() {
		if w.Secret != "" {
			out = append(out, model.CredentialRef{Namespace: w.Namespace, Name: w.Secret})
		}
	}
	slices.SortFunc(out, model.CredentialRef.Compare)
	return slices.Compact(out)
}
