// SPDX-License-Identifier: Apache-2.0

// Package topology reads the clusters of a lab from kind configs (v1alpha4),
// so that one set of files serves both the lab and kind. It comes first: what
// it returns is all that `lab up` knows of a cluster. It is pure but for the
// reading of the files. A field that the lab cannot honour is an error, for a
// cluster that silently differs from the one kind would make is worse.
package topology

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	kind "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/yaml"
)

// What kind takes when a config leaves it out.
const (
	defaultName          = "kind"
	defaultPodSubnet     = "10.244.0.0/16"
	defaultServiceSubnet = "10.96.0.0/16"
)

// Cluster is one cluster of a lab.
type Cluster struct {
	Name        string            `json:"name"`
	PodCIDR     netip.Prefix      `json:"podCIDR"`
	ServiceCIDR netip.Prefix      `json:"serviceCIDR"`
	Labels      map[string]string `json:"labels,omitempty"`
	// Source is the file that the cluster was read from.
	Source string `json:"source"`
}

// A name becomes part of an interface name, of which Linux takes 15 bytes.
var validName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,9}[a-z0-9])?$`)

// Folders of .lab that a cluster must not be named after.
var reserved = []string{"bin", "images", "cache"}

// Parse reads one kind config. The source is named in errors.
func Parse(source string, data []byte) (Cluster, error) {
	var config kind.Cluster
	if err := yaml.UnmarshalStrict(data, &config); err != nil {
		return Cluster{}, fmt.Errorf("%s: not a kind config: %w", source, err)
	}
	if config.Kind != "Cluster" || config.APIVersion != "kind.x-k8s.io/v1alpha4" {
		return Cluster{}, fmt.Errorf("%s: want kind Cluster of kind.x-k8s.io/v1alpha4, got kind %q of %q", source, config.Kind, config.APIVersion)
	}
	if fields := unsupported(config); len(fields) > 0 {
		return Cluster{}, fmt.Errorf("%s: the lab does not support %s: take it out, or use LAB=kind", source, strings.Join(fields, ", "))
	}

	cluster := Cluster{Name: config.Name, Source: source}
	if cluster.Name == "" {
		cluster.Name = defaultName
	}
	if !validName.MatchString(cluster.Name) || slices.Contains(reserved, cluster.Name) {
		return Cluster{}, fmt.Errorf("%s: name %q: want at most 11 lower-case letters, digits and dashes, and none of %s", source, cluster.Name, strings.Join(reserved, ", "))
	}
	var err error
	if cluster.PodCIDR, err = subnet(config.Networking.PodSubnet, defaultPodSubnet); err != nil {
		return Cluster{}, fmt.Errorf("%s: networking.podSubnet: %w", source, err)
	}
	if cluster.ServiceCIDR, err = subnet(config.Networking.ServiceSubnet, defaultServiceSubnet); err != nil {
		return Cluster{}, fmt.Errorf("%s: networking.serviceSubnet: %w", source, err)
	}
	if len(config.Nodes) > 0 {
		cluster.Labels = config.Nodes[0].Labels
	}
	if _, err := cluster.NodeIP(); err != nil {
		return Cluster{}, fmt.Errorf("%s: networking.podSubnet: %w", source, err)
	}
	return cluster, nil
}

func subnet(text, fallback string) (netip.Prefix, error) {
	if text == "" {
		text = fallback
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	if !prefix.Addr().Is4() || prefix.Bits() > 24 {
		return netip.Prefix{}, fmt.Errorf("%s: want an IPv4 prefix of /24 or wider", prefix)
	}
	if prefix.Masked() != prefix {
		return netip.Prefix{}, fmt.Errorf("%s: has host bits set, did you mean %s?", prefix, prefix.Masked())
	}
	return prefix, nil
}

// ReadDir reads every *.yaml of a folder, in the order of their names, and
// checks that the clusters can live side by side.
func ReadDir(dir string) ([]Cluster, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("topology %s: no *.yaml in it", dir)
	}
	clusters := make([]Cluster, 0, len(paths))
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		cluster, err := Parse(path, data)
		if err != nil {
			return nil, err
		}
		clusters = append(clusters, cluster)
	}
	return clusters, Check(clusters)
}

// Check reports the first two clusters that would get into each other's way.
func Check(clusters []Cluster) error {
	names := map[string]Cluster{}
	for i, a := range clusters {
		if other, taken := names[a.Name]; taken {
			return fmt.Errorf("%s and %s both name their cluster %q", other.Source, a.Source, a.Name)
		}
		names[a.Name] = a
		if a.PodCIDR.Overlaps(a.ServiceCIDR) {
			return fmt.Errorf("%s: pod subnet %s and service subnet %s overlap", a.Source, a.PodCIDR, a.ServiceCIDR)
		}
		for _, b := range clusters[:i] {
			if a.PodCIDR.Overlaps(b.PodCIDR) {
				return fmt.Errorf("%s and %s: pod subnets %s and %s overlap", b.Source, a.Source, b.PodCIDR, a.PodCIDR)
			}
			nodeA, errA := a.NodeIP()
			nodeB, errB := b.NodeIP()
			if errA == nil && errB == nil && nodeA == nodeB {
				return fmt.Errorf("%s and %s: pod subnets %s and %s give both nodes the address %s: change the second or third byte of one", b.Source, a.Source, b.PodCIDR, a.PodCIDR, nodeA)
			}
		}
	}
	return nil
}

// unsupported names the fields of a config that the lab cannot honour.
func unsupported(c kind.Cluster) []string {
	n := c.Networking
	set := map[string]bool{
		"featureGates":                                 len(c.FeatureGates) > 0,
		"runtimeConfig":                                len(c.RuntimeConfig) > 0,
		"kubeadmConfigPatches":                         len(c.KubeadmConfigPatches) > 0,
		"kubeadmConfigPatchesJSON6902":                 len(c.KubeadmConfigPatchesJSON6902) > 0,
		"containerdConfigPatches":                      len(c.ContainerdConfigPatches) > 0,
		"containerdConfigPatchesJSON6902":              len(c.ContainerdConfigPatchesJSON6902) > 0,
		"networking.ipFamily other than ipv4":          n.IPFamily != "" && n.IPFamily != kind.IPv4Family,
		"networking.apiServerPort":                     n.APIServerPort != 0,
		"networking.apiServerAddress":                  n.APIServerAddress != "",
		"networking.disableDefaultCNI":                 n.DisableDefaultCNI,
		"networking.dnsSearch":                         n.DNSSearch != nil,
		"networking.kubeProxyMode other than iptables": n.KubeProxyMode != "" && n.KubeProxyMode != kind.IPTablesProxyMode,
		"more than one node":                           len(c.Nodes) > 1,
	}
	for _, node := range c.Nodes {
		set["nodes[].role other than control-plane"] = node.Role != "" && node.Role != kind.ControlPlaneRole
		set["nodes[].image"] = node.Image != ""
		set["nodes[].extraMounts"] = len(node.ExtraMounts) > 0
		set["nodes[].extraPortMappings"] = len(node.ExtraPortMappings) > 0
		set["nodes[].kubeadmConfigPatches"] = len(node.KubeadmConfigPatches) > 0
		set["nodes[].kubeadmConfigPatchesJSON6902"] = len(node.KubeadmConfigPatchesJSON6902) > 0
	}
	var fields []string
	for _, field := range slices.Sorted(maps.Keys(set)) {
		if set[field] {
			fields = append(fields, field)
		}
	}
	return fields
}
