// SPDX-License-Identifier: Apache-2.0

package calls

import (
	"fmt"
	"strings"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/pkg/config/kube/crd"
	istio "istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/mesh"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/test/compared"
)

// istiod is what Istio's control plane tells proxies.
func istiod(t *testing.T, c *compared.Case) (compared.Views, error) {
	t.Helper()
	objects, err := compared.Objects(c.Cluster)
	if err != nil {
		return nil, err
	}
	kubernetes, _ := split(objects + "\n---\n" + c.YAML)
	var settings *meshconfig.MeshConfig
	if c.Mesh != "" {
		if settings, err = mesh.ApplyMeshConfigDefaults(c.Mesh); err != nil {
			return nil, err
		}
	}
	configs, err := parse(c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c, err)
	}
	server := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{
		KubernetesObjectString: kubernetes, Configs: configs, MeshConfig: settings, DisableSecretAuthorization: true,
	})
	views := map[string]compared.Told{}
	return func(namespace, name string, gateway bool) (compared.Told, error) {
		key := namespace + "/" + name
		if v, ok := views[key]; ok {
			return v, nil
		}
		pod, err := compared.PodOf(c.Cluster, key)
		if err != nil {
			return compared.Told{}, err
		}
		p := &istio.Proxy{
			Type: istio.SidecarProxy, ID: name + "." + namespace, IPAddresses: pod.Addresses, ConfigNamespace: namespace, Labels: pod.Labels,
			Metadata: &istio.NodeMetadata{
				Namespace: namespace, Labels: pod.Labels, ClusterID: "Kubernetes", IstioVersion: "1.31.0", ServiceAccount: pod.Account,
			},
		}
		if gateway {
			p.Type = istio.Router
		}
		v, err := view(server, server.SetupProxy(p))
		views[key] = compared.Told{View: v}
		return views[key], err
	}, nil
}

// parse the objects of a case that are Istio's, and validate them as Istio does.
func parse(c *compared.Case) ([]config.Config, error) {
	_, istios := split(c.YAML)
	configs, _, err := crd.ParseInputs(istios)
	for i := range configs {
		// As its informers read them from a cluster.
		configs[i].Domain = "cluster.local"
		if configs[i].Namespace == "" {
			configs[i].Namespace = "default"
		}
	}
	return configs, err
}

// split documents into those of Kubernetes and those of Istio.
func split(text string) (kubernetes, istios string) {
	for _, document := range strings.Split("\n"+text, "\n---\n") {
		var object struct {
			APIVersion string `json:"apiVersion"`
		}
		switch err := yaml.Unmarshal([]byte(document), &object); {
		case err != nil || object.APIVersion == "":
		case strings.Contains(object.APIVersion, ".istio.io/"):
			istios += document + "\n---\n"
		default:
			kubernetes += document + "\n---\n"
		}
	}
	return kubernetes, istios
}

// view of all that a proxy asks for.
func view(server *xds.FakeDiscoveryServer, p *istio.Proxy) (*envoy.View, error) {
	v := &envoy.View{Types: map[string]envoy.Layers{}}
	var err error
	put := func(of string, resources []*envoy.Resource) {
		layer, _ := envoy.NewLayer(resources)
		v.Types[of] = envoy.Layers{Own: layer}
	}
	listeners := server.Listeners(p)
	routes := server.RoutesFromListeners(p, listeners)
	var all []*envoy.Resource
	add := func(name string, m proto.Message) {
		r, e := envoy.NewResource(name, m)
		if e != nil {
			err = e
			return
		}
		all = append(all, r)
	}
	for _, l := range listeners {
		for _, chain := range append(l.GetFilterChains(), l.GetDefaultFilterChain()) {
			if e := strip(chain); e != nil {
				return nil, fmt.Errorf("listener %s: %w", l.GetName(), e)
			}
		}
		add(l.GetName(), l)
	}
	put(envoy.ListenerType, all)
	all = nil
	for _, r := range routes {
		add(r.GetName(), r)
	}
	put(envoy.RouteType, all)
	all = nil
	for _, c := range server.Clusters(p) {
		add(c.GetName(), c)
	}
	put(envoy.ClusterType, all)
	all = nil
	for _, e := range server.Endpoints(p) {
		add(e.GetClusterName(), e)
	}
	put(envoy.EndpointType, all)
	return v, err
}

// strip a chain of the filters that Istio's own Envoy alone has.
func strip(chain *listenerv3.FilterChain) error {
	var filters []*listenerv3.Filter
	for _, f := range chain.GetFilters() {
		if own(f.GetTypedConfig()) {
			continue
		}
		var m hcmv3.HttpConnectionManager
		if f.GetTypedConfig().MessageIs(&m) {
			if err := f.GetTypedConfig().UnmarshalTo(&m); err != nil {
				return err
			}
			var kept []*hcmv3.HttpFilter
			for _, h := range m.GetHttpFilters() {
				if !own(h.GetTypedConfig()) {
					kept = append(kept, h)
				}
			}
			m.HttpFilters = kept
			packed, err := anypb.New(&m)
			if err != nil {
				return err
			}
			f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: packed}
		}
		filters = append(filters, f)
	}
	if chain != nil {
		chain.Filters = filters
	}
	return nil
}

// own is true for the configuration of a filter that stock Envoy doesn't have.
func own(config *anypb.Any) bool {
	return strings.HasPrefix(config.GetTypeUrl(), "type.googleapis.com/istio.") ||
		strings.HasPrefix(config.GetTypeUrl(), "type.googleapis.com/io.istio.") ||
		strings.HasPrefix(config.GetTypeUrl(), "type.googleapis.com/stats.") ||
		strings.HasSuffix(config.GetTypeUrl(), ".TypedStruct")
}
