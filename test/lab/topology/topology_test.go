// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const header = "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n"

var prefixes = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func TestParse(t *testing.T) {
	cases := map[string]struct {
		config string
		want   Cluster
	}{
		"Defaults": {
			config: header,
			want: Cluster{
				Name: "kind", Source: "a.yaml",
				PodCIDR: netip.MustParsePrefix("10.244.0.0/16"), ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"),
			},
		},
		"Everything": {
			config: header + `
name: west
networking: {podSubnet: 10.11.0.0/16, serviceSubnet: 10.111.0.0/16, ipFamily: ipv4, kubeProxyMode: iptables}
nodes:
- role: control-plane
  labels: {topology.kubernetes.io/region: eu}
`,
			want: Cluster{
				Name: "west", Source: "a.yaml",
				PodCIDR: netip.MustParsePrefix("10.11.0.0/16"), ServiceCIDR: netip.MustParsePrefix("10.111.0.0/16"),
				Labels: map[string]string{"topology.kubernetes.io/region": "eu"},
			},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Parse("a.yaml", []byte(c.config))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, prefixes); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	cases := map[string]struct{ config, want string }{
		"NotYAML":          {":", "not a kind config"},
		"OtherKind":        {"kind: Pod\napiVersion: v1\n", `got kind "Pod" of "v1"`},
		"UnknownField":     {header + "nodez: []\n", `unknown field "nodez"`},
		"BadSubnet":        {header + "networking: {podSubnet: 10.0.0.0}\n", "networking.podSubnet"},
		"HostBits":         {header + "networking: {serviceSubnet: 10.11.1.0/16}\n", "did you mean 10.11.0.0/16?"},
		"IPv6":             {header + "networking: {podSubnet: 'fd00::/64'}\n", "want an IPv4 prefix"},
		"NodeNetwork":      {header + "networking: {podSubnet: 10.211.0.0/16}\n", "the network of the nodes"},
		"NoNodeAddress":    {header + "networking: {podSubnet: 10.11.255.0/24}\n", "third byte"},
		"LongName":         {header + "name: a-very-long-name\n", "at most 11"},
		"ReservedName":     {header + "name: images\n", "none of bin, images, cache"},
		"TwoNodes":         {header + "nodes: [{role: control-plane}, {role: control-plane}]\n", "more than one node"},
		"Worker":           {header + "nodes: [{role: worker}]\n", "nodes[].role"},
		"Image":            {header + "nodes: [{image: x}]\n", "nodes[].image"},
		"Mounts":           {header + "nodes: [{extraMounts: [{hostPath: /x}]}]\n", "nodes[].extraMounts"},
		"Ports":            {header + "nodes: [{extraPortMappings: [{hostPort: 80}]}]\n", "nodes[].extraPortMappings"},
		"NodePatches":      {header + "nodes: [{kubeadmConfigPatches: [x]}]\n", "nodes[].kubeadmConfigPatches"},
		"Patches":          {header + "kubeadmConfigPatches: [x]\n", "does not support kubeadmConfigPatches"},
		"ContainerdPatch":  {header + "containerdConfigPatches: [x]\n", "containerdConfigPatches"},
		"FeatureGates":     {header + "featureGates: {X: true}\n", "featureGates"},
		"RuntimeConfig":    {header + "runtimeConfig: {x: 'true'}\n", "runtimeConfig"},
		"APIServerPort":    {header + "networking: {apiServerPort: 6443}\n", "networking.apiServerPort"},
		"APIServerAddress": {header + "networking: {apiServerAddress: 0.0.0.0}\n", "networking.apiServerAddress"},
		"NoCNI":            {header + "networking: {disableDefaultCNI: true}\n", "networking.disableDefaultCNI"},
		"Search":           {header + "networking: {dnsSearch: [x]}\n", "networking.dnsSearch"},
		"DualStack":        {header + "networking: {ipFamily: dual}\n", "networking.ipFamily"},
		"ProxyMode":        {header + "networking: {kubeProxyMode: nftables}\n", "networking.kubeProxyMode"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("a.yaml", []byte(c.config))
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range []string{"a.yaml", c.want} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

func TestCheck(t *testing.T) {
	cluster := func(source, name, pods, services string) Cluster {
		return Cluster{Source: source, Name: name, PodCIDR: netip.MustParsePrefix(pods), ServiceCIDR: netip.MustParsePrefix(services)}
	}
	a := cluster("a", "west", "10.11.0.0/16", "10.111.0.0/16")
	cases := map[string]struct {
		other Cluster
		want  string
	}{
		"Fine":        {cluster("b", "east", "10.12.0.0/16", "10.111.0.0/16"), ""},
		"SameName":    {cluster("b", "west", "10.12.0.0/16", "10.112.0.0/16"), `a and b both name their cluster "west"`},
		"Overlap":     {cluster("b", "east", "10.11.1.0/24", "10.112.0.0/16"), "pod subnets 10.11.0.0/16 and 10.11.1.0/24 overlap"},
		"OwnOverlap":  {cluster("b", "east", "10.12.0.0/16", "10.12.1.0/24"), "overlap"},
		"SameAddress": {cluster("b", "east", "192.11.0.0/24", "10.112.0.0/16"), "both nodes the address 10.211.11.2"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := Check([]Cluster{a, c.other})
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	c := Cluster{PodCIDR: netip.MustParsePrefix("10.11.3.0/24"), ServiceCIDR: netip.MustParsePrefix("10.111.0.0/16")}
	node, err := c.NodeIP()
	if err != nil {
		t.Fatal(err)
	}
	if got := node.String(); got != "10.211.11.5" {
		t.Errorf("node %s", got)
	}
	if got := c.ServiceIP(10).String(); got != "10.111.0.10" {
		t.Errorf("tenth service address %s", got)
	}
}

// All topologies of the checkout must work side by side, so that a cluster of
// one can be added to another.
func TestCheckedInTopologies(t *testing.T) {
	dirs, err := filepath.Glob("../../../kind-configs/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no kind-configs: %v", err)
	}
	var all []Cluster
	for _, dir := range dirs {
		clusters, err := ReadDir(dir)
		if err != nil {
			t.Error(err)
		}
		all = append(all, clusters...)
	}
	if err := Check(all); err != nil {
		t.Error(err)
	}
}

func TestReadDirEmpty(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "README.md"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadDir(dir); err == nil {
		t.Error("no error for a folder without clusters")
	}
}
