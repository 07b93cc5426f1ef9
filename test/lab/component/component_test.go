// SPDX-License-Identifier: Apache-2.0

package component

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/isthmesh/isthmesh/test/lab/layout"
	"github.com/isthmesh/isthmesh/test/lab/pki"
	"github.com/isthmesh/isthmesh/test/lab/topology"
	"k8s.io/client-go/tools/clientcmd"
)

func spec() Spec {
	return Spec{
		Cluster: topology.Cluster{
			Name: "west", PodCIDR: netip.MustParsePrefix("10.11.0.0/16"), ServiceCIDR: netip.MustParsePrefix("10.111.0.0/16"),
			Labels: map[string]string{"b": "2", "a": "1"},
		},
		NodeIP: netip.MustParseAddr("10.211.11.2"),
		Lab:    layout.Lab{Checkout: "/src"},
		Host:   Host{CgroupV1: true, Snapshotter: "overlayfs", CNI: "/usr/lib/cni"},
	}
}

func TestSpecSurvivesItsFile(t *testing.T) {
	want := spec()
	want.Flat = []Peer{{Name: "east", PodCIDR: netip.MustParsePrefix("10.12.0.0/16"), NodeIP: netip.MustParseAddr("10.211.12.2")}}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Spec
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestListIsStable(t *testing.T) {
	if diff := cmp.Diff(List(spec()), List(spec())); diff != "" {
		t.Error(diff)
	}
	var names []string
	for _, c := range List(spec()) {
		names = append(names, c.Name)
		for _, arg := range c.Args {
			if c.Name == Kubelet && strings.HasPrefix(arg, "--node-labels=") && arg != "--node-labels=a=1,b=2" {
				t.Errorf("labels: %s", arg)
			}
		}
	}
	for _, c := range List(spec()) {
		want := map[string]Stage{Etcd: PoweredOn, Containerd: PoweredOn, APIServer: EtcdAnswers, Proxy: NodeRegistered}
		if stage, special := want[c.Name]; special && c.After != stage || !special && c.After != APIReady {
			t.Errorf("%s is started after stage %d", c.Name, c.After)
		}
	}
	want := []string{Etcd, Containerd, APIServer, Kubelet, ControllerManager, Scheduler, Proxy, LoadBalancer}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

// Two clusters share a machine: no argument or file of one may name a path or
// an address of the other.
func TestClustersShareNothing(t *testing.T) {
	files, err := Files(spec())
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !strings.HasPrefix(file.Path, "/src/.lab/west/config/") {
			t.Errorf("file %s is not the cluster's own", file.Path)
		}
		for _, path := range []string{"/var/lib", "/run/containerd", "/etc/kubernetes"} {
			if strings.Contains(string(file.Data), path) {
				t.Errorf("%s names %s, which all clusters would share", file.Path, path)
			}
		}
	}
}

func TestCgroupVersionReachesTheKubelet(t *testing.T) {
	s := spec()
	for _, v1 := range []bool{true, false} {
		s.Host.CgroupV1 = v1
		if got := *kubeletConfig(s).FailCgroupV1; got == v1 {
			t.Errorf("with cgroups v1 %t: failCgroupV1 %t", v1, got)
		}
	}
}

func TestAdminKubeconfig(t *testing.T) {
	data, err := AdminKubeconfig(spec(), []byte("ca"), pki.Pair{Cert: []byte("cert"), Key: []byte("key")})
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.Load(data)
	if err != nil {
		t.Fatal(err)
	}
	if config.CurrentContext != "west" || config.Clusters["west"].Server != "https://10.211.11.2:6443" {
		t.Errorf("got context %q, cluster %v", config.CurrentContext, config.Clusters["west"])
	}
}

func TestMasquerade(t *testing.T) {
	s := spec()
	rule := "ip saddr 10.11.0.0/16 ip daddr != @pods ip daddr != 224.0.0.0/4 masquerade"
	for name, c := range map[string]struct {
		flat   []Peer
		pods   string
		routes [][]string
	}{
		"Apart": {nil, "elements = { 10.11.0.0/16 }", nil},
		"Flat": {
			[]Peer{{Name: "east", PodCIDR: netip.MustParsePrefix("10.12.0.0/16"), NodeIP: netip.MustParseAddr("10.211.12.2")}},
			"elements = { 10.11.0.0/16, 10.12.0.0/16 }",
			[][]string{{"route", "replace", "10.12.0.0/16", "via", "10.211.12.2"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s.Flat = c.flat
			script := MasqueradeRules(s)
			for _, want := range []string{rule, c.pods} {
				if !strings.Contains(script, want) {
					t.Errorf("no %q in:\n%s", want, script)
				}
			}
			if diff := cmp.Diff(c.routes, Routes(s)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
