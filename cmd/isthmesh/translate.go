// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

type translateOptions struct {
	files    []string
	proxy    string
	gateway  bool
	output   string
	types    []string
	settings model.Settings
	// Flags know no named string types.
	cluster, network string
}

// xdsTypes are the types that are printed, by the names that people know them
// by, in the order in which they are sent.
var xdsTypes = []struct{ name, key, typeURL string }{
	{"cds", "clusters", envoy.ClusterType},
	{"eds", "endpoints", envoy.EndpointType},
	{"lds", "listeners", envoy.ListenerType},
	{"rds", "routes", envoy.RouteType},
	{"nds", "names", envoy.NameTableType},
}

func newTranslateCommand() *cobra.Command {
	o := translateOptions{settings: model.Settings{RootNamespace: "istio-system"}}
	cmd := &cobra.Command{
		Use:   "translate -f objects.yaml",
		Short: "Print the Envoy configuration that Kubernetes objects give",
		Long: `Print the Envoy configuration that Kubernetes objects give. It is the control
plane's own code, fed from files: Services, EndpointSlices, Pods, Nodes,
Namespaces, PeerAuthentications, ServiceExports, the ConfigMap istio, and
Imports, which say what other members export. Objects that cannot be used are
named on the standard error output.`,
		Example: `  # what the sidecar of one pod gets
  kubectl get svc,endpointslices,pods,nodes -A -o yaml | isthmesh translate -f - --proxy shop/productpage-6d9f
  # only the endpoints, as JSON
  isthmesh translate -f objects.yaml --proxy shop/productpage-6d9f --type eds -o json
  # what the east-west gateway gets
  isthmesh translate -f objects.yaml --east-west`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringSliceVarP(&o.files, "filename", "f", nil, "files of Kubernetes objects, - for the standard input")
	f.StringVar(&o.proxy, "proxy", "", "namespace/pod whose sidecar it is for; without it, what the sidecars of namespace default share")
	f.BoolVar(&o.gateway, "east-west", false, "for the east-west gateway instead")
	f.StringVarP(&o.output, "output", "o", "yaml", "yaml or json")
	f.StringSliceVar(&o.types, "type", nil, "only these of cds, eds, lds, rds and nds")
	f.StringVar(&o.cluster, "cluster-id", "Kubernetes", "name of the cluster in the mesh")
	f.StringVar(&o.network, "network", "", "network of the cluster's pods")
	f.StringVar(&o.settings.TrustDomain, "trust-domain", "cluster.local", "SPIFFE trust domain of the cluster's identities")
	f.StringVar(&o.settings.DomainSuffix, "domain-suffix", "cluster.local", "DNS suffix of the cluster")
	f.StringVar(&o.settings.Locality.Region, "region", "", "region, for workloads whose nodes tell none")
	f.StringVar(&o.settings.Locality.Zone, "zone", "", "zone, for workloads whose nodes tell none")
	return cmd
}

func (o *translateOptions) run(in io.Reader, out, warnings io.Writer) error {
	if o.output != "yaml" && o.output != "json" {
		return fmt.Errorf("--output %q: use yaml or json", o.output)
	}
	for _, t := range o.types {
		if !known(t) {
			return fmt.Errorf("--type %q: use cds, eds, lds, rds or nds", t)
		}
	}
	objects, err := o.read(in)
	if err != nil {
		return err
	}
	o.settings.Cluster, o.settings.Network = model.ClusterID(o.cluster), model.NetworkID(o.network)
	objects.Settings = o.settings
	mesh := ingest.Build(objects.Input, nil).Mesh
	s := snapshot.Build(mesh, nil)
	for _, p := range append(mesh.Problems, s.Problems()...) {
		fmt.Fprintf(warnings, "%s %s/%s: %s: %s\n", p.Kind, p.Namespace, p.Name, p.Reason, p.Message)
	}
	for _, skipped := range objects.Skipped {
		fmt.Fprintf(warnings, "%s: a mesh is not made of it, left out\n", skipped)
	}
	proxy, err := o.who(s)
	if err != nil {
		return err
	}
	return o.print(out, s.View(proxy))
}

// read all files as one.
func (o *translateOptions) read(in io.Reader) (*manifest.Objects, error) {
	data, err := readFiles(in, o.files)
	if err != nil {
		return nil, err
	}
	objects, err := manifest.Read(data)
	if err != nil {
		return nil, fmt.Errorf("read objects of %s: %w", strings.Join(o.files, ", "), err)
	}
	return objects, nil
}

// who is the proxy that the output is for.
func (o *translateOptions) who(s *snapshot.Snapshot) (*model.Proxy, error) {
	switch {
	case o.gateway && o.proxy != "":
		return nil, errors.New("--east-west and --proxy exclude each other")
	case o.gateway:
		return &model.Proxy{Type: model.Router, Labels: map[string]string{"istio.io/gateway-kind": "east-west"}}, nil
	case o.proxy == "":
		return &model.Proxy{Type: model.Sidecar, Namespace: "default"}, nil
	}
	namespace, name, ok := strings.Cut(o.proxy, "/")
	if !ok {
		return nil, fmt.Errorf("--proxy %q is not namespace/pod", o.proxy)
	}
	w := s.Workload(namespace, name)
	if w == nil {
		return nil, fmt.Errorf("--proxy %q: no such pod that runs is among the objects", o.proxy)
	}
	return &model.Proxy{Type: model.Sidecar, Namespace: namespace, Name: name, Workload: w, Labels: w.Labels}, nil
}

func (o *translateOptions) print(out io.Writer, v *envoy.View) error {
	document := map[string][]json.RawMessage{}
	for _, t := range xdsTypes {
		if !o.wants(t.name) {
			continue
		}
		layers := v.Types[t.typeURL]
		if o.proxy == "" && t.typeURL != envoy.RouteType {
			layers.Own = nil // what one pod takes
		}
		for _, layer := range []*envoy.Layer{layers.Shared, layers.Own} {
			for _, r := range layer.Resources() {
				text, err := r.JSON()
				if err != nil {
					return err
				}
				document[t.key] = append(document[t.key], text)
			}
		}
	}
	text, err := json.MarshalIndent(document, "", "  ")
	if err == nil && o.output == "yaml" {
		text, err = yaml.JSONToYAML(text)
	}
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	_, err = out.Write(append(bytes.TrimRight(text, "\n"), '\n'))
	return err
}

func (o *translateOptions) wants(name string) bool {
	for _, t := range o.types {
		if strings.EqualFold(t, name) {
			return true
		}
	}
	return len(o.types) == 0
}

func known(name string) bool {
	for _, t := range xdsTypes {
		if strings.EqualFold(t.name, name) {
			return true
		}
	}
	return false
}
