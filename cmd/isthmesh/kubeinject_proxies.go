// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/dynamic"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/networking"
	"github.com/isthmesh/isthmesh/controlplane/inject"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

var proxyConfigsResource = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1beta1", Resource: "proxyconfigs"}

// proxyConfigs of files, or without any of the cluster unless all is from files;
// and what is wrong with them.
func (o *kubeInjectOptions) proxyConfigs(ctx context.Context, access *genericclioptions.ConfigFlags, offline bool, c inject.Config) ([]*model.ProxyConfig, []model.Problem, error) {
	var all ingest.Istio
	read := func(text []byte) error {
		objects, err := manifest.Read(text)
		if err == nil {
			all.ProxyConfigs = append(all.ProxyConfigs, objects.Istio.ProxyConfigs...)
		}
		return err
	}
	for _, file := range o.proxyConfigFiles {
		text, err := os.ReadFile(file)
		if err == nil {
			err = read(text)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("--proxyConfigFile %s: %w", file, err)
		}
	}
	if len(o.proxyConfigFiles) == 0 && !offline {
		text, err := listProxyConfigs(ctx, access)
		if err == nil {
			err = read(text)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("ProxyConfigs (offline, give --proxyConfigFile): %w", err)
		}
	}
	out := networking.Build(networking.Input{ProxyConfigs: all.ProxyConfigs, Settings: &model.Settings{
		RootNamespace: c.RootNamespace(), ProxyImageTypes: c.ImageTypes(),
	}}, nil)
	return out.Proxies, out.Problems, nil
}

// listProxyConfigs of the cluster as JSON; nothing where the kind is not there.
func listProxyConfigs(ctx context.Context, access *genericclioptions.ConfigFlags) ([]byte, error) {
	cfg, err := access.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	list, err := client.Resource(proxyConfigsResource).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for i := range list.Items {
		text, err := list.Items[i].MarshalJSON()
		if err != nil {
			return nil, err
		}
		out.WriteString("---\n")
		out.Write(text)
	}
	return out.Bytes(), nil
}
