// SPDX-License-Identifier: Apache-2.0

package informers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/go-logr/logr"
	security "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	k8snetworking "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
)

// The kinds that a cluster may do without, by the names of their CRDs.
const (
	crdPeerAuthentications = "peerauthentications.security.istio.io"
	crdServiceExports      = "serviceexports.multicluster.x-k8s.io"
)

var crdResource = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// running is a kind, whatever its type.
type running interface {
	name() string
	run(context.Context)
	wait(context.Context) error
	answered(context.Context) bool
	isDenied() bool
	served() bool
}

// Set is the caches of everything that a mesh is made of.
type Set struct {
	changes chan struct{}

	services            *kind[*corev1.Service]
	endpointSlices      *kind[*discoveryv1.EndpointSlice]
	pods                *kind[*corev1.Pod]
	nodes               *kind[*corev1.Node]
	namespaces          *kind[*corev1.Namespace]
	ingresses           *kind[*k8snetworking.Ingress]
	ingressClasses      *kind[*k8snetworking.IngressClass]
	configMaps          *kind[*corev1.ConfigMap]
	crds                *kind[*metav1.PartialObjectMetadata]
	peerAuthentications *kind[*security.PeerAuthentication]
	serviceExports      *kind[*mcs.ServiceExport]

	// always are the kinds that every cluster has, optional the others by CRD.
	always      []running
	optional    map[string]running
	credentials *credentials
	// fill puts the custom resources into an Input.
	fill []func(*ingest.Input)
	// crdsMoved wakes what starts the optional kinds.
	crdsMoved chan struct{}
}

// New makes the caches. Namespace and revision are the control plane's, and say
// which ConfigMap holds MeshConfig. Nothing is read before Run.
func New(c Clients, namespace, revision string) (*Set, error) {
	s := &Set{changes: make(chan struct{}, 1), crdsMoved: make(chan struct{}, 1)}
	s.credentials = newCredentials(c.Kubernetes, s.notify)
	var failed error
	core, everywhere := c.Kubernetes.CoreV1(), metav1.NamespaceAll
	alive := fields.AndSelectors(
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodSucceeded)),
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodFailed))).String()
	theMeshConfig := fields.OneTermEqualSelector("metadata.name", configMapName(revision)).String()

	s.services = add(s, &failed, "services", listWatch(c.Kubernetes, core.Services(everywhere), ""), &corev1.Service{}, trimService)
	s.endpointSlices = add(s, &failed, "endpointslices",
		listWatch(c.Kubernetes, c.Kubernetes.DiscoveryV1().EndpointSlices(everywhere), ""), &discoveryv1.EndpointSlice{}, trimEndpointSlice)
	s.pods = add(s, &failed, "pods", listWatch(c.Kubernetes, core.Pods(everywhere), alive), &corev1.Pod{}, trimPod)
	s.nodes = add(s, &failed, "nodes", listWatch(c.Kubernetes, core.Nodes(), ""), &corev1.Node{}, trimNode)
	s.namespaces = add(s, &failed, "namespaces", listWatch(c.Kubernetes, core.Namespaces(), ""), &corev1.Namespace{}, trimNamespace)
	ingress := c.Kubernetes.NetworkingV1()
	s.ingresses = add(s, &failed, "ingresses", listWatch(c.Kubernetes, ingress.Ingresses(everywhere), ""), &k8snetworking.Ingress{}, trimIngress)
	s.ingressClasses = add(s, &failed, "ingressclasses", listWatch(c.Kubernetes, ingress.IngressClasses(), ""), &k8snetworking.IngressClass{}, trimIngressClass)
	s.configMaps = add(s, &failed, "configmaps",
		listWatch(c.Kubernetes, core.ConfigMaps(namespace), theMeshConfig), &corev1.ConfigMap{}, trimConfigMap)

	var err error
	s.crds, err = newKind(crdResource.Resource, listWatch(c.Metadata, c.Metadata.Resource(crdResource), ""),
		&metav1.PartialObjectMetadata{}, trimMetadata, func() { signal(s.crdsMoved) })
	failed = errors.Join(failed, err)
	s.peerAuthentications, err = newKind(crdPeerAuthentications,
		listWatch(c.Istio, c.Istio.SecurityV1().PeerAuthentications(everywhere), ""), &security.PeerAuthentication{}, trimPeerAuthentication, s.notify)
	failed = errors.Join(failed, err)
	s.serviceExports, err = newKind(crdServiceExports,
		listWatch(c.MCS, c.MCS.MulticlusterV1beta1().ServiceExports(everywhere), ""), &mcs.ServiceExport{}, trimServiceExport, s.notify)
	failed = errors.Join(failed, err)
	s.optional = map[string]running{crdPeerAuthentications: s.peerAuthentications, crdServiceExports: s.serviceExports}
	return s, errors.Join(failed, s.addCustom(c))
}

// configMapName is the ConfigMap with the MeshConfig of a revision; the default
// one has no name, or the name default.
func configMapName(revision string) string {
	if revision == "" || revision == "default" {
		return ingest.MeshConfigMap
	}
	return ingest.MeshConfigMap + "-" + revision
}

// add makes a kind that every cluster has.
func add[T object](s *Set, failed *error, resource string, lw cache.ListerWatcher, example T, trim func(T) T) *kind[T] {
	k, err := newKind(resource, lw, example, trim, s.notify)
	*failed = errors.Join(*failed, err)
	s.always = append(s.always, k)
	return k
}

// signal wakes a reader of a channel of capacity one; signals that nobody has
// read yet are one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (s *Set) notify() { signal(s.changes) }

// Changes is readable when Objects may say something else than before. Any
// number of changes between two reads are one.
func (s *Set) Changes() <-chan struct{} { return s.changes }

// Run reads until ctx ends, and returns when everything it started has ended.
func (s *Set) Run(ctx context.Context) {
	var all sync.WaitGroup
	start := func(k running) { all.Go(func() { k.run(ctx) }) }
	for _, k := range s.always {
		start(k)
	}
	start(s.crds)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-s.crdsMoved:
			for _, name := range s.installed() {
				start(s.optional[name])
			}
		}
	}
	all.Wait()
}

// installed are the optional kinds whose CRDs are there, sorted.
func (s *Set) installed() []string {
	var names []string
	for _, crd := range s.crds.objects() {
		if s.optional[crd.Name] != nil {
			names = append(names, crd.Name)
		}
	}
	return names
}

// WaitSynced returns when everything that was in the cluster at the start can
// be read from Objects. Kinds that the cluster does not have are not waited
// for. An error names what is still missing when ctx ends.
func (s *Set) WaitSynced(ctx context.Context) error {
	var failed error
	for _, k := range append(slices.Clone(s.always), running(s.crds)) {
		failed = errors.Join(failed, k.wait(ctx))
	}
	if failed != nil {
		return failed
	}
	for _, name := range s.installed() {
		failed = errors.Join(failed, s.optional[name].wait(ctx))
	}
	if missing := s.Missing(); failed == nil && len(missing) > 0 {
		logr.FromContextOrDiscard(ctx).Info("the cluster lacks kinds that the mesh can use; they are read once they are there", "missing", missing)
	}
	return failed
}

// WaitAnswered is WaitSynced for those who may not read everything: it names the
// resources that the API server doesn't let them read, sorted, and doesn't wait
// for them. Without the right to list CustomResourceDefinitions none of the
// optional kinds is read.
func (s *Set) WaitAnswered(ctx context.Context) ([]string, error) {
	asked := map[string]running{crdResource.Resource: s.crds}
	for _, k := range s.always {
		asked[k.name()] = k
	}
	if s.crds.answered(ctx) {
		for _, name := range s.installed() {
			asked[name] = s.optional[name]
		}
	}
	var denied []string
	var failed error
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		switch k := asked[name]; {
		case !k.answered(ctx):
			failed = errors.Join(failed, fmt.Errorf("%s are not read: %w", name, context.Cause(ctx)))
		case k.isDenied():
			denied = append(denied, name)
		}
	}
	return denied, failed
}

// Missing names the optional kinds that the cluster does not have, or not in
// the version that is read, by their CRDs, sorted.
func (s *Set) Missing() []string {
	var names []string
	installed := s.installed()
	for name, k := range s.optional {
		if !slices.Contains(installed, name) || !k.served() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Objects returns what there is. A kind that did not change is the same slice
// as in the call before, an object that did not change the same pointer.
// Imports and Settings are the caller's to add.
func (s *Set) Objects() ingest.Input {
	in := ingest.Input{
		Services:            s.services.objects(),
		EndpointSlices:      s.endpointSlices.objects(),
		Pods:                s.pods.objects(),
		Nodes:               s.nodes.objects(),
		Ingresses:           s.ingresses.objects(),
		IngressClasses:      s.ingressClasses.objects(),
		Namespaces:          s.namespaces.objects(),
		PeerAuthentications: s.peerAuthentications.objects(),
		ServiceExports:      s.serviceExports.objects(),
	}
	in.Credentials = s.credentials.read()
	for _, fill := range s.fill {
		fill(&in)
	}
	for _, o := range s.configMaps.objects() {
		in.MeshConfig, in.MeshConfigName = o.Data[ingest.MeshConfigKey], o.Name
	}
	return in
}
