// SPDX-License-Identifier: Apache-2.0

// Package apiserver runs a real Kubernetes API server, with its etcd, for tests
// of what writes to Kubernetes. Nothing but the API is there: no controllers,
// no nodes. It listens on loopback, on free ports, and is up in seconds.
package apiserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// Patience with an API server: with its start, and with kinds that it is to serve.
// Where machines are busy both take much longer than envtest waits for.
const Patience = 2 * time.Minute

// attempts to start: somebody else may take a port between its choice and its use.
const attempts = 3

// Server is a running API server.
type Server struct {
	// Config of an administrator.
	Config *rest.Config

	plane  *envtest.ControlPlane
	assets string
}

// Start runs an API server with our own definitions in it. It fails with the
// mend when a binary is missing.
func Start() (*Server, error) {
	root, err := repository()
	if err != nil {
		return nil, err
	}
	assets, err := binaries(root)
	if err != nil {
		return nil, err
	}
	s := &Server{assets: assets}
	for range attempts {
		if err = s.start(); err == nil {
			break
		}
	}
	if err == nil {
		_, err = envtest.InstallCRDs(s.Config, envtest.CRDInstallOptions{
			Paths: []string{filepath.Join(root, "config", "crd", "bases")}, ErrorIfPathMissing: true, MaxTime: Patience,
		})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start API server: %w", err), s.Stop())
	}
	s.Config.QPS, s.Config.Burst = 200, 400
	return s, nil
}

// start etcd and the API server, on ports of its own.
func (s *Server) start() error {
	plane := &envtest.ControlPlane{
		Etcd:      &envtest.Etcd{Path: filepath.Join(s.assets, "etcd"), StartTimeout: Patience, StopTimeout: Patience},
		APIServer: &envtest.APIServer{Path: filepath.Join(s.assets, "kube-apiserver"), StartTimeout: Patience, StopTimeout: Patience},
		// Of users it is asked where kubectl is.
		KubectlPath: filepath.Join(s.assets, "kubectl"),
	}
	if err := plane.Start(); err != nil {
		return err
	}
	admin, err := plane.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, &rest.Config{QPS: 1000, Burst: 2000})
	if err == nil {
		err = hasDefaultNamespace(admin.Config())
	}
	if err != nil {
		return errors.Join(err, plane.Stop())
	}
	s.plane, s.Config = plane, admin.Config()
	return nil
}

// hasDefaultNamespace waits for what the API server makes a moment after it serves.
func hasDefaultNamespace(config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	var last error
	if err := wait.PollUntilContextTimeout(context.Background(), 50*time.Millisecond, Patience, true, func(ctx context.Context) (bool, error) {
		_, last = client.CoreV1().Namespaces().Get(ctx, "default", metav1.GetOptions{})
		return last == nil, nil
	}); err != nil {
		return fmt.Errorf("wait for namespace default: %w: %w", err, last)
	}
	return nil
}

// Stop ends the API server and etcd.
func (s *Server) Stop() error {
	var err error
	if s.plane != nil {
		err = s.plane.Stop()
	}
	return errors.Join(err, os.RemoveAll(s.assets))
}

// Kubeconfig of a new user in the groups; system:masters may do everything, no
// group nothing.
func (s *Server) Kubeconfig(name string, groups ...string) ([]byte, error) {
	user, err := s.plane.AddUser(envtest.User{Name: name, Groups: groups}, nil)
	if err != nil {
		return nil, fmt.Errorf("add user %q: %w", name, err)
	}
	return user.KubeConfig()
}

// Main runs a package's tests, which m does, with API servers, and stops them.
func Main(m interface{ Run() int }, servers ...**Server) {
	os.Exit(func() int {
		for _, target := range servers {
			s, err := Start()
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			defer func() {
				if err := s.Stop(); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			}()
			*target = s
		}
		return m.Run()
	}())
}

// binaries makes a folder with the programs under the names that envtest looks for.
func binaries(root string) (string, error) {
	etcd, err := exec.LookPath("etcd")
	if err != nil {
		return "", errors.New("etcd is not installed: run `make prepare`")
	}
	kube := filepath.Join(root, ".lab", "bin", "kube")
	if _, err := os.Stat(kube); err != nil {
		return "", fmt.Errorf("%s is not built: run `make prepare`", kube)
	}
	dir, err := os.MkdirTemp("", "isthmesh-apiserver-")
	if err != nil {
		return "", err
	}
	for name, target := range map[string]string{"etcd": etcd, "kube-apiserver": kube, "kubectl": kube} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			return "", errors.Join(err, os.RemoveAll(dir))
		}
	}
	return dir, nil
}

// repository is the root of this repository: the nearest folder upwards of the
// test's own that has the charts.
func repository() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "charts", "embed.go")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not in a checkout of this repository", start)
		}
	}
}

// ReadFile reads the objects of a YAML file of this repository, by its path
// from the root.
func ReadFile[T any](t *testing.T, path string) []*T {
	t.Helper()
	root, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	var out []*T
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	for {
		object := new(T)
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out = append(out, object)
	}
}
