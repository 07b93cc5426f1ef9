// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/isthmesh/isthmesh/controlplane/inject"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/validate"
)

const (
	meshConfigMap     = "istio"
	injectorConfigMap = "istio-sidecar-injector"
)

// serveWebhooks serves what the API server calls.
func serveWebhooks(ctx context.Context, m meshParts) error {
	factory := informers.NewSharedInformerFactoryWithOptions(m.kube, 0, informers.WithNamespace(m.o.namespace))
	maps := factory.Core().V1().ConfigMaps()
	synced := maps.Informer().HasSynced
	factory.StartWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), synced) {
		return ctx.Err()
	}
	suffix := ""
	if m.o.revision != "" && m.o.revision != "default" {
		suffix = "-" + m.o.revision
	}
	config := &injectorConfig{
		maps: maps.Lister().ConfigMaps(m.o.namespace), injector: injectorConfigMap + suffix, mesh: meshConfigMap + suffix,
		proxyConfigs: m.pipeline.proxyConfigs,
	}
	mux := http.NewServeMux()
	handler := inject.NewHandler(config.get, m.pipeline.namespaceLabels, m.metrics)
	mux.Handle("POST /inject", handler)
	mux.Handle("POST /inject/", handler) // Istio's form, with cluster and network in the path
	mux.Handle("POST /validate", validate.NewHandler(m.o.settings))
	return serveHTTP(ctx, m.o.webhookAddress, &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: m.own.GetCertificate,
		NextProtos:     []string{"h2", "http/1.1"},
	}, mux)
}

// injectorConfig parses the two ConfigMaps anew only when one of them changed.
type injectorConfig struct {
	maps           corev1listers.ConfigMapNamespaceLister
	injector, mesh string
	// proxyConfigs of the mesh; false until it is read.
	proxyConfigs func() ([]*model.ProxyConfig, bool)

	mu                 sync.Mutex
	injectorOf, meshOf *corev1.ConfigMap // what parsed was made of
	parsed             inject.Config
	err                error
}

func (c *injectorConfig) get() (inject.Config, error) {
	injector, err := c.maps.Get(c.injector)
	if err != nil {
		return inject.Config{}, fmt.Errorf("ConfigMap %s: %w", c.injector, err)
	}
	mesh, err := c.maps.Get(c.mesh)
	if err != nil {
		return inject.Config{}, fmt.Errorf("ConfigMap %s: %w", c.mesh, err)
	}
	proxyConfigs, known := c.proxyConfigs()
	if !known {
		return inject.Config{}, errors.New("the control plane has just started and has not read the mesh's ProxyConfigs; try again")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.injectorOf != injector || c.meshOf != mesh {
		c.injectorOf, c.meshOf = injector, mesh
		c.parsed, c.err = parseInjector(injector, mesh)
	}
	config := c.parsed
	config.ProxyConfigs = proxyConfigs
	return config, c.err
}

func parseInjector(injector, mesh *corev1.ConfigMap) (inject.Config, error) {
	parsed, err := inject.ParseMesh(mesh.Data["mesh"])
	if err != nil {
		return inject.Config{}, fmt.Errorf("ConfigMap %s/%s: key mesh: %w", mesh.Namespace, mesh.Name, err)
	}
	config, err := inject.ParseConfig([]byte(injector.Data["config"]), []byte(injector.Data["values"]), parsed)
	if err != nil {
		return inject.Config{}, fmt.Errorf("ConfigMap %s/%s: %w", injector.Namespace, injector.Name, err)
	}
	return config, nil
}
