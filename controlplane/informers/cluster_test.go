// SPDX-License-Identifier: Apache-2.0

package informers_test

import (
	"context"
	"sync"
	"testing"
	"time"

	istiofake "istio.io/client-go/pkg/clientset/versioned/fake"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	kubefake "k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"
	mcsfake "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned/fake"

	"github.com/isthmesh/isthmesh/controlplane/informers"
	"github.com/isthmesh/isthmesh/controlplane/ingest"
)

const deadline = 90 * time.Second

var crds = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// cluster is a fake API server.
type cluster struct {
	kubernetes *kubefake.Clientset
	istio      *istiofake.Clientset
	mcs        *mcsfake.Clientset
	metadata   *metadatafake.FakeMetadataClient
	dynamic    *dynamicfake.FakeDynamicClient
	watched    *watched
}

// The fakes of these two kinds do not stream lists, and do not say so.
type (
	istioClient struct{ *istiofake.Clientset }
	mcsClient   struct{ *mcsfake.Clientset }
)

func (istioClient) IsWatchListSemanticsUnSupported() bool { return true }
func (mcsClient) IsWatchListSemanticsUnSupported() bool   { return true }

func meta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, ResourceVersion: "1"}
}

func newCluster(t *testing.T, objects ...runtime.Object) *cluster {
	t.Helper()
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c := &cluster{
		kubernetes: kubefake.NewClientset(objects...),
		istio:      istiofake.NewSimpleClientset(),
		mcs:        mcsfake.NewSimpleClientset(),
		metadata:   metadatafake.NewSimpleMetadataClient(scheme),
		dynamic:    dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), customLists),
		watched:    newWatched(),
	}
	c.kubernetes.PrependWatchReactor("*", c.watched.reactor(c.kubernetes.Tracker()))
	c.metadata.PrependWatchReactor("*", c.watched.reactor(c.metadata.Tracker()))
	return c
}

// install puts a CRD of that name into the cluster.
func (c *cluster) install(t *testing.T, name string) {
	t.Helper()
	crd := &metav1.PartialObjectMetadata{ObjectMeta: meta("", name)}
	crd.SetGroupVersionKind(schema.GroupVersionKind{Group: crds.Group, Version: crds.Version, Kind: "CustomResourceDefinition"})
	if err := c.metadata.Tracker().Create(crds, crd, ""); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) updateNode(t *testing.T, node *corev1.Node) {
	t.Helper()
	_, err := c.kubernetes.CoreV1().Nodes().Update(t.Context(), node, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		_, err = c.kubernetes.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// run starts the informers and stops them at the test's end.
func (c *cluster) run(t *testing.T) *informers.Set {
	t.Helper()
	clients := informers.Clients{
		Kubernetes: c.kubernetes, Istio: istioClient{c.istio}, MCS: mcsClient{c.mcs}, Metadata: c.metadata, Dynamic: c.dynamic,
	}
	s, err := informers.New(clients, "istio-system", "")
	if err != nil {
		t.Fatal(err)
	}
	runSet(t, s)
	return s
}

// runSet runs the informers until the test ends.
func runSet(t *testing.T, s *informers.Set) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

// start runs the informers and waits until they have everything and watch: a
// fake API server forgets what happens between a list and its watch.
func (c *cluster) start(t *testing.T) *informers.Set {
	t.Helper()
	s := c.run(t)
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	if err := s.WaitSynced(ctx); err != nil {
		t.Fatal(err)
	}
	for _, resource := range []string{"services", "endpointslices", "pods", "nodes", "namespaces", "configmaps", crds.Resource} {
		if err := c.watched.wait(ctx, resource); err != nil {
			t.Fatalf("%s are not watched: %v", resource, err)
		}
	}
	return s
}

// await reads Objects at each change until they are as wanted.
func await(t *testing.T, s *informers.Set, wanted func(ingest.Input) bool) ingest.Input {
	t.Helper()
	late := time.After(deadline)
	for {
		in := s.Objects()
		if wanted(in) {
			return in
		}
		select {
		case <-s.Changes():
		case <-late:
			t.Fatalf("the objects never were as wanted: %+v", in)
		}
	}
}

func names[T metav1.Object](objects []T) []string {
	var all []string
	for _, o := range objects {
		all = append(all, o.GetNamespace()+"/"+o.GetName())
	}
	return all
}

// watched tells when a resource is watched, and "resource/name" when an object of it is.
type watched struct {
	mu  sync.Mutex
	per map[string]chan struct{}
}

func newWatched() *watched { return &watched{per: map[string]chan struct{}{}} }

func (w *watched) channel(resource string) chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.per[resource] == nil {
		w.per[resource] = make(chan struct{}, 1)
	}
	return w.per[resource]
}

func (w *watched) reactor(tracker clienttesting.ObjectTracker) clienttesting.WatchReactionFunc {
	return func(action clienttesting.Action) (bool, watch.Interface, error) {
		stream, err := tracker.Watch(action.GetResource(), action.GetNamespace())
		resource := action.GetResource().Resource
		said := []string{resource}
		if a, ok := action.(clienttesting.WatchAction); ok && a.GetWatchRestrictions().Fields != nil {
			if name, found := a.GetWatchRestrictions().Fields.RequiresExactMatch("metadata.name"); found {
				said = append(said, resource+"/"+name)
			}
		}
		for _, what := range said {
			select {
			case w.channel(what) <- struct{}{}:
			default:
			}
		}
		return true, stream, err
	}
}

func (w *watched) wait(ctx context.Context, resource string) error {
	select {
	case <-w.channel(resource):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
