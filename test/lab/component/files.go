// SPDX-License-Identifier: Apache-2.0

package component

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"

	"github.com/isthmesh/isthmesh/test/lab/layout"
	"github.com/isthmesh/isthmesh/test/lab/pki"
	"github.com/isthmesh/isthmesh/test/lab/topology"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api/v1"
	kubeproxy "k8s.io/kube-proxy/config/v1alpha1"
	kubelet "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"
)

// Names of the configuration files.
const (
	containerdFile = "containerd.toml"
	cniDir         = "cni"
	kubeletFile    = "kubelet.yaml"
	proxyFile      = "kube-proxy.yaml"
	resolvFile     = "resolv.conf"
)

func kubeconfigOf(user string) string { return user + ".kubeconfig" }

// File is a configuration file.
type File struct {
	Path string
	Data []byte
}

// Files returns the configuration files of a cluster.
func Files(s Spec) ([]File, error) {
	d := s.Dirs()
	files := []File{
		// Names outside the cluster are the machine's to resolve; if no resolver
		// listens there, they fail at once.
		{Path: d.Config(resolvFile), Data: []byte("nameserver " + topology.Gateway.String() + "\n")},
	}
	add := func(path string, data []byte, err error) error {
		files = append(files, File{Path: path, Data: data})
		return err
	}
	containerd, err := containerdConfig(s)
	if err := add(d.Config(containerdFile), containerd, err); err != nil {
		return nil, err
	}
	cni, err := cniConfig(s)
	if err := add(d.Config(cniDir)+"/10-lab.conflist", cni, err); err != nil {
		return nil, err
	}
	kubelet, err := yaml.Marshal(kubeletConfig(s))
	if err := add(d.Config(kubeletFile), kubelet, err); err != nil {
		return nil, err
	}
	proxy, err := yaml.Marshal(proxyConfig(s))
	if err := add(d.Config(proxyFile), proxy, err); err != nil {
		return nil, err
	}
	for _, user := range []string{pki.ControllerManager, pki.Scheduler, pki.Kubelet, pki.Proxy, pki.LoadBalancer} {
		data, err := yaml.Marshal(kubeconfig(s, user, clientcmdapi.AuthInfo{
			ClientCertificate: d.PKI(user + ".crt"),
			ClientKey:         d.PKI(user + ".key"),
		}, clientcmdapi.Cluster{CertificateAuthority: d.PKI(pki.CA + ".crt")}))
		if err := add(d.Config(kubeconfigOf(user)), data, err); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// AdminKubeconfig returns the kubeconfig that the lab hands out: it holds all
// it needs, and its context is named after the cluster.
func AdminKubeconfig(s Spec, ca []byte, admin pki.Pair) ([]byte, error) {
	return yaml.Marshal(kubeconfig(s, s.Cluster.Name,
		clientcmdapi.AuthInfo{ClientCertificateData: admin.Cert, ClientKeyData: admin.Key},
		clientcmdapi.Cluster{CertificateAuthorityData: ca}))
}

func kubeconfig(s Spec, user string, auth clientcmdapi.AuthInfo, cluster clientcmdapi.Cluster) clientcmdapi.Config {
	name := s.Cluster.Name
	cluster.Server = s.Server()
	return clientcmdapi.Config{
		APIVersion:     "v1",
		Kind:           "Config",
		Clusters:       []clientcmdapi.NamedCluster{{Name: name, Cluster: cluster}},
		AuthInfos:      []clientcmdapi.NamedAuthInfo{{Name: user, AuthInfo: auth}},
		Contexts:       []clientcmdapi.NamedContext{{Name: name, Context: clientcmdapi.Context{Cluster: name, AuthInfo: user}}},
		CurrentContext: name,
	}
}

func kubeletConfig(s Spec) kubelet.KubeletConfiguration {
	d := s.Dirs()
	yes, no := true, false
	all := int32(100)
	resolv := d.Config(resolvFile)
	return kubelet.KubeletConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: "kubelet.config.k8s.io/v1beta1", Kind: "KubeletConfiguration"},
		Authentication: kubelet.KubeletAuthentication{
			Anonymous: kubelet.KubeletAnonymousAuthentication{Enabled: &no},
			Webhook:   kubelet.KubeletWebhookAuthentication{Enabled: &yes},
			X509:      kubelet.KubeletX509Authentication{ClientCAFile: d.PKI(pki.CA + ".crt")},
		},
		Authorization:            kubelet.KubeletAuthorization{Mode: kubelet.KubeletAuthorizationModeWebhook},
		TLSCertFile:              d.PKI(pki.Kubelet + ".crt"),
		TLSPrivateKeyFile:        d.PKI(pki.Kubelet + ".key"),
		ClusterDNS:               []string{s.DNS().String()},
		ClusterDomain:            "cluster.local",
		ContainerRuntimeEndpoint: "unix://" + d.Socket(Containerd),
		CgroupDriver:             "cgroupfs",
		CgroupRoot:               d.Cgroup(),
		// The machine is not ours alone: no hierarchy of cgroups below the
		// pods', no share set aside, no eviction when the disk fills up.
		CgroupsPerQOS:               &no,
		EnforceNodeAllocatable:      []string{"none"},
		FailCgroupV1:                failCgroupV1(s.Host),
		FailSwapOn:                  &no,
		EvictionHard:                map[string]string{"imagefs.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.inodesFree": "0%", "memory.available": "1Mi"},
		ImageGCHighThresholdPercent: &all,
		MaxPods:                     250,
		PodLogsDir:                  d.PodLogs(),
		ResolverConfig:              &resolv,
		SerializeImagePulls:         &no,
		VolumePluginDir:             d.Data("volume-plugins"),
	}
}

func failCgroupV1(h Host) *bool {
	fail := !h.CgroupV1
	return &fail
}

func proxyConfig(s Spec) kubeproxy.KubeProxyConfiguration {
	d := s.Dirs()
	// The table of connections belongs to the machine: kube-proxy leaves its size alone.
	zero := int32(0)
	unset := metav1.Duration{}
	return kubeproxy.KubeProxyConfiguration{
		TypeMeta:         metav1.TypeMeta{APIVersion: "kubeproxy.config.k8s.io/v1alpha1", Kind: "KubeProxyConfiguration"},
		ClientConnection: clientConnection(d.Config(kubeconfigOf(pki.Proxy))),
		ClusterCIDR:      s.Cluster.PodCIDR.String(),
		Conntrack: kubeproxy.KubeProxyConntrackConfiguration{
			MaxPerCore:            &zero,
			Min:                   &zero,
			TCPEstablishedTimeout: &unset,
			TCPCloseWaitTimeout:   &unset,
		},
		HostnameOverride:  d.Node(),
		Mode:              "iptables",
		NodePortAddresses: []string{"primary"},
	}
}

// nodeLabels writes labels as the kubelet's flag takes them, sorted.
func nodeLabels(labels map[string]string) string {
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, key+"="+labels[key])
	}
	return strings.Join(pairs, ",")
}

var containerdTemplate = template.Must(template.New("containerd").Parse(`version = 2
root = "{{.Root}}"
state = "{{.State}}"
# Only what a kubelet needs.
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]

[grpc]
address = "{{.Socket}}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{{.Pause}}"
# Without CAP_SYS_RESOURCE nothing may lower its oom_score_adj.
restrict_oom_score_adj = true
disable_apparmor = true
disable_hugetlb_controller = true
tolerate_missing_hugetlb_controller = true

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "{{.Snapshotter}}"
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{{.CNI}}"
conf_dir = "{{.CNIConfig}}"
`))

func containerdConfig(s Spec) ([]byte, error) {
	d := s.Dirs()
	var out bytes.Buffer
	err := containerdTemplate.Execute(&out, map[string]string{
		"Root":        d.Data(Containerd),
		"State":       d.Run + "/containerd",
		"Socket":      d.Socket(Containerd),
		"Pause":       PauseImage,
		"Snapshotter": s.Host.Snapshotter,
		"CNI":         s.Host.CNI,
		"CNIConfig":   d.Config(cniDir),
	})
	if err != nil {
		return nil, fmt.Errorf("containerd's configuration: %w", err)
	}
	return out.Bytes(), nil
}

// cniConfig gives each pod a cable of its own to the node instead of a port
// of a bridge: an answer then always passes the node, which has to translate
// the address of the Service back.
func cniConfig(s Spec) ([]byte, error) {
	d := s.Dirs()
	return json.MarshalIndent(map[string]any{
		"cniVersion": "1.0.0",
		"name":       "lab",
		"plugins": []any{
			map[string]any{
				"type": "ptp",
				"ipam": map[string]any{
					"type":    "host-local",
					"dataDir": addressesDir(d),
					"ranges":  []any{[]any{map[string]any{"subnet": s.Cluster.PodCIDR.String()}}},
					"routes":  []any{map[string]any{"dst": "0.0.0.0/0"}},
				},
			},
			map[string]any{"type": "portmap", "capabilities": map[string]any{"portMappings": true}},
		},
	}, "", "  ")
}

// addressesDir holds which pod has which address; no pod outlives a stop, so
// this does not either.
func addressesDir(d layout.Cluster) string { return d.Run + "/addresses" }
