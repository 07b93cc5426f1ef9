// SPDX-License-Identifier: Apache-2.0

package xds_test

import (
	"fmt"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// typeURL of the short names that scripts use.
var typeURL = map[string]string{
	"CDS": envoy.ClusterType, "EDS": envoy.EndpointType, "SDS": envoy.SecretType,
	"LDS": envoy.ListenerType, "RDS": envoy.RouteType, "NDS": envoy.NameTableType,
	"ECDS": envoy.ExtensionType,
	// Asked for by machines' agents; nobody has any.
	"HEALTH": "type.googleapis.com/istio.v1.HealthInformation",
}

var shortName = func() map[string]string {
	out := map[string]string{}
	for short, url := range typeURL {
		out[url] = short
	}
	return out
}()

// message makes the smallest resource of a type that holds a word.
func message(short, name, word string) proto.Message {
	switch short {
	case "CDS":
		return &clusterv3.Cluster{
			Name: name, AltStatName: word,
			ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		}
	case "EDS":
		return &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{
			{Locality: &corev3.Locality{Region: word}},
		}}
	case "LDS":
		return &listenerv3.Listener{Name: name, StatPrefix: word}
	case "ECDS":
		return &corev3.TypedExtensionConfig{Name: name, TypedConfig: &anypb.Any{TypeUrl: word}}
	case "RDS":
		return &routev3.RouteConfiguration{Name: name, VirtualHosts: []*routev3.VirtualHost{{Name: word}}}
	default:
		return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_GenericSecret{GenericSecret: &tlsv3.GenericSecret{
			Secret: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: word}},
		}}}
	}
}

// word that a resource holds, and its name; the word of an empty one is "empty".
func word(a *anypb.Any) (name, w string, err error) {
	m, err := a.UnmarshalNew()
	if err != nil {
		return "", "", err
	}
	switch r := m.(type) {
	case *clusterv3.Cluster:
		return r.GetName(), r.GetAltStatName(), nil
	case *endpointv3.ClusterLoadAssignment:
		if len(r.GetEndpoints()) == 0 {
			return r.GetClusterName(), "empty", nil
		}
		return r.GetClusterName(), r.GetEndpoints()[0].GetLocality().GetRegion(), nil
	case *listenerv3.Listener:
		return r.GetName(), r.GetStatPrefix(), nil
	case *routev3.RouteConfiguration:
		if len(r.GetVirtualHosts()) == 0 {
			return r.GetName(), "empty", nil
		}
		return r.GetName(), r.GetVirtualHosts()[0].GetName(), nil
	case *corev3.TypedExtensionConfig:
		return r.GetName(), r.GetTypedConfig().GetTypeUrl(), nil
	case *tlsv3.Secret:
		return r.GetName(), r.GetGenericSecret().GetSecret().GetInlineString(), nil
	}
	return "", "", fmt.Errorf("unexpected %T", m)
}

// world is a Snapshot: one view for all proxies, another for those whose pod has
// the label "class", and pods.
type world struct {
	views map[string]*envoy.View // by class
	pods  map[string]*model.Workload
}

func (w *world) View(p *model.Proxy) *envoy.View { return w.views[p.Labels["class"]] }

func (w *world) Workload(namespace, name string) *model.Workload { return w.pods[namespace+"/"+name] }

// standIn is the word of a resource that stands in for one that can't be had.
const standIn = "stand-in"

// builder makes worlds that share what did not change, as real snapshots do.
type builder struct {
	resources map[string]*envoy.Resource
	layers    map[string]*envoy.Layer
}

func newBuilder() *builder {
	return &builder{resources: map[string]*envoy.Resource{}, layers: map[string]*envoy.Layer{}}
}

// layer of one type from "name=word" items.
func (b *builder) layer(short string, items []string) (*envoy.Layer, error) {
	if len(items) == 0 {
		return nil, nil
	}
	items = slices.Clone(items)
	slices.Sort(items)
	key := short + " " + strings.Join(items, " ")
	if l, ok := b.layers[key]; ok {
		return l, nil
	}
	var resources []*envoy.Resource
	for _, item := range items {
		id := short + " " + item
		if b.resources[id] == nil {
			name, w, _ := strings.Cut(item, "=")
			made := envoy.NewResource
			if w == standIn {
				made = envoy.NewStandIn
			}
			r, err := made(name, message(short, name, w))
			if err != nil {
				return nil, err
			}
			b.resources[id] = r
		}
		resources = append(resources, b.resources[id])
	}
	l, dropped := envoy.NewLayer(resources)
	if len(dropped) > 0 {
		return nil, fmt.Errorf("duplicate names %v", dropped)
	}
	b.layers[key] = l
	return l, nil
}

// world from lines:
//
//	TYPE name=word ...            what all of the class see
//	TYPE own name=word ...        what this class alone sees
//	class NAME                    the lines that follow are another class's
//	pod namespace/name serviceaccount label=value ...
func (b *builder) world(text string) (*world, error) {
	w := &world{views: map[string]*envoy.View{}, pods: map[string]*model.Workload{}}
	class := ""
	w.views[class] = &envoy.View{Types: map[string]envoy.Layers{}}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0:
		case f[0] == "class":
			class = f[1]
			w.views[class] = &envoy.View{Types: map[string]envoy.Layers{}}
		case f[0] == "pod":
			namespace, name, _ := strings.Cut(f[1], "/")
			pod := &model.Workload{Namespace: namespace, Name: name, ServiceAccount: f[2], Labels: map[string]string{}}
			for _, l := range f[3:] {
				k, v, _ := strings.Cut(l, "=")
				pod.Labels[k] = v
			}
			w.pods[f[1]] = pod
		case typeURL[f[0]] == "":
			return nil, fmt.Errorf("unknown type %q", f[0])
		default:
			layers := w.views[class].Types[typeURL[f[0]]]
			to, items := &layers.Shared, f[1:]
			if len(items) > 0 && items[0] == "own" {
				to, items = &layers.Own, items[1:]
			}
			l, err := b.layer(f[0], items)
			if err != nil {
				return nil, err
			}
			*to = l
			w.views[class].Types[typeURL[f[0]]] = layers
		}
	}
	return w, nil
}
