// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// File names in a cluster's pki folder: NAME.crt and NAME.key.
const (
	CA                = "ca"
	ServiceAccount    = "sa" // sa.crt holds a public key, no certificate
	APIServer         = "apiserver"
	APIServerClient   = "apiserver-kubelet-client"
	Admin             = "admin"
	ControllerManager = "controller-manager"
	Scheduler         = "scheduler"
	Kubelet           = "kubelet"
	Proxy             = "kube-proxy"
	LoadBalancer      = "loadbalancer"
)

// Names is what the certificates of one cluster depend on.
type Names struct {
	Cluster   string
	Node      string
	NodeIP    netip.Addr
	ServiceIP netip.Addr
}

// subjects lists every certificate that the cluster's CA issues.
func subjects(n Names) map[string]Subject {
	return map[string]Subject{
		APIServer: {
			Name: "kube-apiserver",
			DNSNames: []string{
				n.Node, "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
				"kubernetes.default.svc.cluster.local",
			},
			Addresses: []netip.Addr{n.NodeIP, n.ServiceIP, netip.MustParseAddr("127.0.0.1")},
		},
		APIServerClient:   {Name: "kube-apiserver-kubelet-client", Organizations: []string{"system:masters"}},
		Admin:             {Name: "kubernetes-admin", Organizations: []string{"system:masters"}},
		ControllerManager: {Name: "system:kube-controller-manager"},
		Scheduler:         {Name: "system:kube-scheduler"},
		Proxy:             {Name: "system:kube-proxy"},
		LoadBalancer:      {Name: "lab-loadbalancer", Organizations: []string{"system:masters"}},
		Kubelet: {
			Name:          "system:node:" + n.Node,
			Organizations: []string{"system:nodes"},
			DNSNames:      []string{n.Node},
			Addresses:     []netip.Addr{n.NodeIP},
		},
	}
}

// Ensure writes what is missing of the cluster's keys and certificates into
// dir. What is there is kept.
func Ensure(dir string, names Names, now time.Time) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	authority, err := ensureAuthority(dir, names.Cluster, now)
	if err != nil {
		return err
	}
	if err := ensure(dir, ServiceAccount, SigningKey); err != nil {
		return err
	}
	for file, subject := range subjects(names) {
		issue := func() (Pair, error) { return authority.Issue(subject, now) }
		if err := ensure(dir, file, issue); err != nil {
			return err
		}
	}
	return nil
}

// Read returns one pair of the folder.
func Read(dir, name string) (Pair, error) {
	cert, err := os.ReadFile(filepath.Join(dir, name+".crt"))
	if err != nil {
		return Pair{}, err
	}
	key, err := os.ReadFile(filepath.Join(dir, name+".key"))
	return Pair{Cert: cert, Key: key}, err
}

func ensureAuthority(dir, cluster string, now time.Time) (*Authority, error) {
	make := func() (Pair, error) {
		_, pair, err := NewAuthority("isthmesh-lab-"+cluster, now)
		return pair, err
	}
	if err := ensure(dir, CA, make); err != nil {
		return nil, err
	}
	pair, err := Read(dir, CA)
	if err != nil {
		return nil, err
	}
	return ReadAuthority(pair)
}

func ensure(dir, name string, make func() (Pair, error)) error {
	switch _, err := Read(dir, name); {
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("read %s of %s: %w", name, dir, err)
	}
	pair, err := make()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name+".key"), pair.Key, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".crt"), pair.Cert, 0o600)
}
