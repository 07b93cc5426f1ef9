// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilversion "k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
)

const (
	// probeTimeout bounds how long a member that doesn't answer is waited for.
	probeTimeout = 5 * time.Second
	// requestTimeout bounds every other request.
	requestTimeout = 20 * time.Second
	// Requests per second to one member: an install is about 100 of them.
	requestRate, requestBurst = 50, 200
)

// OldestKubernetes is the oldest version that a member may have: the first in
// which native sidecar containers are on.
const OldestKubernetes = "v1.29.0"

// Clusters holds a client for each member, as long as its kubeconfig is the same.
type Clusters struct {
	// AllowLoopback accepts kubeconfigs whose server is on loopback.
	AllowLoopback bool
	// UserAgent of the clients.
	UserAgent string

	mu      sync.Mutex
	members map[types.NamespacedName]*Cluster
}

// Cluster is a connection to one member.
type Cluster struct {
	// Client reads and writes without a cache.
	Client client.Client
	// Server is the URL of the API server.
	Server string

	rest   rest.Interface
	digest [sha256.Size]byte
	mayAll atomic.Bool
}

// Connect returns the client for a member, a new one when the Secret's data
// changed. It makes no request.
func (c *Clusters) Connect(member types.NamespacedName, secret *corev1.Secret) (*Cluster, error) {
	digest := digestOf(secret.Data)
	c.mu.Lock()
	defer c.mu.Unlock()
	if have := c.members[member]; have != nil && have.digest == digest {
		return have, nil
	}
	config, err := Kubeconfig(secret.Name, secret.Data, c.AllowLoopback)
	if err != nil {
		return nil, err
	}
	cluster, err := dial(config, c.UserAgent)
	if err != nil {
		return nil, &Error{v1alpha1.ReasonKubeconfigInvalid, fmt.Sprintf("Secret %q: %v", secret.Name, err), err}
	}
	cluster.digest = digest
	if c.members == nil {
		c.members = map[types.NamespacedName]*Cluster{}
	}
	c.members[member] = cluster
	return cluster, nil
}

// Forget drops the client of a member that is gone.
func (c *Clusters) Forget(member types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.members, member)
}

func dial(config *rest.Config, userAgent string) (*Cluster, error) {
	config = rest.CopyConfig(config)
	config.Timeout = requestTimeout
	config.QPS, config.Burst = requestRate, requestBurst
	config.UserAgent = userAgent
	config.Dial = (&net.Dialer{Timeout: probeTimeout, KeepAlive: 30 * time.Second}).DialContext
	http, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{HTTPClient: http})
	if err != nil {
		return nil, err
	}
	d, err := discovery.NewDiscoveryClientForConfigAndClient(config, http)
	if err != nil {
		return nil, err
	}
	return &Cluster{Client: c, Server: config.Host, rest: d.RESTClient()}, nil
}

// Identity is what a cluster says about itself.
type Identity struct {
	// UID of the namespace kube-system: the cluster's own, for its life.
	UID string
	// Version of its API server, such as "v1.36.3".
	Version string
}

// Identify asks the cluster who it is, and so whether it answers. For that it
// waits five seconds at most; every error is an *Error.
func (c *Cluster) Identify(ctx context.Context) (Identity, error) {
	probing, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	// Plain requests: the client would first discover kinds, which heeds no deadline.
	var system metav1.PartialObjectMetadata
	if err := c.get(probing, "/api/v1/namespaces/kube-system", &system); err != nil {
		known := explain(err, c.Server)
		if known.Reason == v1alpha1.ReasonForbidden {
			// It hardly lacks this right alone. It answers, so that all the questions
			// after the others have their own time: far away they take longer than one.
			if missing := c.CheckRights(ctx, v1alpha1.SystemNamespace); missing != nil {
				return Identity{}, missing
			}
		}
		return Identity{}, known
	}
	var info version.Info
	if err := c.get(probing, "/version", &info); err != nil {
		return Identity{}, explain(err, c.Server)
	}
	id := Identity{UID: string(system.UID), Version: info.GitVersion}
	return id, tooOld(id.Version)
}

func (c *Cluster) get(ctx context.Context, path string, into any) error {
	raw, err := c.rest.Get().AbsPath(path).SetHeader("Accept", "application/json").Do(ctx).Raw()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%s answers with something else: %w", path, err)
	}
	return nil
}

func tooOld(version string) error {
	have, err := utilversion.ParseGeneric(version)
	if err != nil || have.LessThan(utilversion.MustParseGeneric(OldestKubernetes)) {
		return &Error{Reason: v1alpha1.ReasonVersionSkew, Message: fmt.Sprintf("the cluster runs Kubernetes %s: a member needs %s or newer", version, OldestKubernetes)}
	}
	return nil
}

func digestOf(data map[string][]byte) [sha256.Size]byte {
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(data)) {
		for _, part := range [][]byte{[]byte(key), data[key]} {
			_ = binary.Write(h, binary.BigEndian, int64(len(part)))
			h.Write(part)
		}
	}
	var out [sha256.Size]byte
	h.Sum(out[:0])
	return out
}

// Last returns the client that a member had last; nil when it had none.
func (c *Clusters) Last(member types.NamespacedName) *Cluster {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.members[member]
}
