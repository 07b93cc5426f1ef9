// SPDX-License-Identifier: Apache-2.0

// Package component says which programs make a cluster, with which arguments
// and configuration files. It comes after topology and before node, which
// starts what is listed here. It is pure: a Spec in, values out.
package component

import (
	"net/netip"

	"github.com/isthmesh/isthmesh/test/lab/layout"
	"github.com/isthmesh/isthmesh/test/lab/pki"
	"github.com/isthmesh/isthmesh/test/lab/topology"
)

// Tag is the tag of all images that the lab makes; not "latest", as that
// would make the kubelet pull.
const Tag = "dev"

// Images that only the lab has.
const (
	PauseImage   = "isthmesh/lab-pause:" + Tag
	CoreDNSImage = "isthmesh/lab-coredns:" + Tag
)

// Spec is all that a cluster's components follow from. It is kept in a file
// as long as the cluster exists.
type Spec struct {
	Cluster topology.Cluster `json:"cluster"`
	NodeIP  netip.Addr       `json:"nodeIP"`
	Lab     layout.Lab       `json:"lab"`
	Host    Host             `json:"host"`
	// Flat are the clusters whose pods this one's reach without translation.
	Flat []Peer `json:"flat,omitempty"`
}

// Host is what the components need to know of the machine.
type Host struct {
	// CgroupV1 is true where the machine has no unified cgroups.
	CgroupV1 bool `json:"cgroupV1"`
	// Snapshotter is containerd's: overlayfs where the file system allows it.
	Snapshotter string `json:"snapshotter"`
	// CNI is the folder of the CNI plugins.
	CNI string `json:"cni"`
}

// Peer is another cluster on the same network.
type Peer struct {
	Name    string       `json:"name"`
	PodCIDR netip.Prefix `json:"podCIDR"`
	NodeIP  netip.Addr   `json:"nodeIP"`
}

// Dirs returns the cluster's folders.
func (s Spec) Dirs() layout.Cluster { return s.Lab.Cluster(s.Cluster.Name) }

// Server is the address of the API server.
func (s Spec) Server() string {
	return "https://" + netip.AddrPortFrom(s.NodeIP, 6443).String()
}

// DNS is the address of the cluster's DNS.
func (s Spec) DNS() netip.Addr { return s.Cluster.ServiceIP(10) }

// Names returns what the cluster's certificates are for.
func (s Spec) Names() pki.Names {
	return pki.Names{
		Cluster:   s.Cluster.Name,
		Node:      s.Dirs().Node(),
		NodeIP:    s.NodeIP,
		ServiceIP: s.Cluster.ServiceIP(1),
	}
}

// Component is one program of a cluster.
type Component struct {
	Name string
	// Path is the program, and Args its arguments without the program's name.
	Path string
	Args []string
	// After is what the program waits for before it is started.
	After Stage
}

// Stage is how far a cluster is.
type Stage int

// The stages, in the order in which they are reached.
const (
	// PoweredOn is where all begins.
	PoweredOn Stage = iota
	// EtcdAnswers is before the API server, which ends when it can't reach etcd for 20 s.
	EtcdAnswers
	// APIReady is before all that speak to the API server.
	APIReady
	// NodeRegistered is before kube-proxy, which waits 30 s for its node's address
	// and goes on with a wrong one then.
	NodeRegistered
)

// Names of the components, which are also those of their logs.
const (
	Etcd              = "etcd"
	Containerd        = "containerd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Kubelet           = "kubelet"
	Proxy             = "kube-proxy"
	LoadBalancer      = "loadbalancer"
)

// List returns the components of a cluster in the order of their start.
func List(s Spec) []Component {
	d := s.Dirs()
	kube := s.Lab.Program("kube")
	return []Component{
		{Name: Etcd, Path: "etcd", Args: etcdArgs(d)},
		{Name: Containerd, Path: "containerd", Args: []string{"--config", d.Config(containerdFile)}},
		{Name: APIServer, Path: kube, After: EtcdAnswers, Args: append([]string{APIServer}, apiServerArgs(s)...)},
		{Name: Kubelet, Path: kube, After: APIReady, Args: append([]string{Kubelet}, kubeletArgs(s)...)},
		{Name: ControllerManager, Path: kube, After: APIReady, Args: append([]string{ControllerManager}, controllerManagerArgs(s)...)},
		{Name: Scheduler, Path: kube, After: APIReady, Args: []string{
			Scheduler,
			"--kubeconfig=" + d.Config(kubeconfigOf(pki.Scheduler)),
			"--leader-elect=false",
			"--bind-address=127.0.0.1",
		}},
		{Name: Proxy, Path: kube, After: NodeRegistered, Args: []string{Proxy, "--config=" + d.Config(proxyFile)}},
		{Name: LoadBalancer, Path: s.Lab.Program("lab"), After: APIReady, Args: []string{
			"loadbalancer",
			"--kubeconfig=" + d.Config(kubeconfigOf(pki.LoadBalancer)),
		}},
	}
}

// EtcdClients is where etcd answers, in each node's own network.
const EtcdClients = "http://127.0.0.1:2379"

func etcdArgs(d layout.Cluster) []string {
	const client, peer = EtcdClients, "http://127.0.0.1:2380"
	return []string{
		"--name=" + d.Name,
		"--data-dir=" + d.Data(Etcd),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=" + d.Name + "=" + peer,
		// A lab does not outlive a crash of the machine, so it need not wait for the disk.
		"--unsafe-no-fsync",
		"--logger=zap",
		"--log-level=warn",
	}
}

func apiServerArgs(s Spec) []string {
	d := s.Dirs()
	const issuer = "https://kubernetes.default.svc.cluster.local"
	return []string{
		"--advertise-address=" + s.NodeIP.String(),
		"--allow-privileged=true",
		"--authorization-mode=Node,RBAC",
		"--cert-dir=" + d.Data("pki"),
		"--client-ca-file=" + d.PKI(pki.CA+".crt"),
		"--enable-admission-plugins=NodeRestriction",
		"--etcd-servers=" + EtcdClients,
		"--kubelet-certificate-authority=" + d.PKI(pki.CA+".crt"),
		"--kubelet-client-certificate=" + d.PKI(pki.APIServerClient+".crt"),
		"--kubelet-client-key=" + d.PKI(pki.APIServerClient+".key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--profiling=false",
		"--secure-port=6443",
		"--service-account-issuer=" + issuer,
		"--service-account-key-file=" + d.PKI(pki.ServiceAccount+".crt"),
		"--service-account-signing-key-file=" + d.PKI(pki.ServiceAccount+".key"),
		"--service-cluster-ip-range=" + s.Cluster.ServiceCIDR.String(),
		"--tls-cert-file=" + d.PKI(pki.APIServer+".crt"),
		"--tls-private-key-file=" + d.PKI(pki.APIServer+".key"),
	}
}

func controllerManagerArgs(s Spec) []string {
	d := s.Dirs()
	return []string{
		"--kubeconfig=" + d.Config(kubeconfigOf(pki.ControllerManager)),
		"--bind-address=127.0.0.1",
		"--cluster-signing-cert-file=" + d.PKI(pki.CA+".crt"),
		"--cluster-signing-key-file=" + d.PKI(pki.CA+".key"),
		// With the defaults (20 and 30) it waits for itself for seconds at its start.
		"--kube-api-qps=200",
		"--kube-api-burst=400",
		"--leader-elect=false",
		// There is no other node to go to when a busy machine keeps this one from reporting.
		"--node-monitor-grace-period=10m",
		"--root-ca-file=" + d.PKI(pki.CA+".crt"),
		"--service-account-private-key-file=" + d.PKI(pki.ServiceAccount+".key"),
		"--use-service-account-credentials=true",
	}
}

func kubeletArgs(s Spec) []string {
	d := s.Dirs()
	args := []string{
		"--config=" + d.Config(kubeletFile),
		"--kubeconfig=" + d.Config(kubeconfigOf(pki.Kubelet)),
		"--hostname-override=" + d.Node(),
		"--node-ip=" + s.NodeIP.String(),
		"--root-dir=" + d.Data(Kubelet),
		"--cert-dir=" + d.Data("pki"),
	}
	if labels := nodeLabels(s.Cluster.Labels); labels != "" {
		args = append(args, "--node-labels="+labels)
	}
	return args
}
