// SPDX-License-Identifier: Apache-2.0

package gatewayapi_test

import (
	"context"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	controller "github.com/isthmesh/isthmesh/controllers/gatewayapi"
	"github.com/isthmesh/isthmesh/controlplane/ingest/gatewayapi"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/test/apiserver"
)

var server *apiserver.Server

func TestMain(m *testing.M) { apiserver.Main(m, &server) }

// world is an API server with the kinds, and the controller that runs against it.
type world struct {
	*testing.T
	client client.Client
	// rounds that the controller has begun.
	rounds atomic.Int64
}

func start(t *testing.T) *world {
	t.Helper()
	paths, err := filepath.Glob("../../charts/base/crds/gateway-api_*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no definitions of the Gateway API, run `make generate`: %v", err)
	}
	if _, err := envtest.InstallCRDs(server.Config, envtest.CRDInstallOptions{Paths: paths, MaxTime: apiserver.Patience}); err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, controller.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.New(server.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, client: c}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		changed := make(chan struct{})
		go func() { // as the pipeline, but for that it knows nothing of changes
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					select {
					case changed <- struct{}{}:
					default:
					}
				case <-ctx.Done():
					return
				}
			}
		}()
		_ = (&controller.Controller{
			Client: c, Kube: kubernetes.NewForConfigOrDie(server.Config), Statuses: w.statuses, Changed: changed, DomainSuffix: "cluster.local",
			Platform: func() (controller.Platform, error) {
				return controller.PlatformOf(map[string]any{"global": map[string]any{"hub": "h", "tag": "t"}}, "cluster.local", "v1.36.3"), nil
			},
			Pause: 20 * time.Millisecond,
		}).Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return w
}

// statuses of what is in the API server.
func (w *world) statuses() *gatewayapi.Statuses {
	w.rounds.Add(1)
	ctx := context.WithoutCancel(w.Context())
	var classes gateway.GatewayClassList
	var gateways gateway.GatewayList
	var routes gateway.HTTPRouteList
	var services corev1.ServiceList
	for _, list := range []client.ObjectList{&classes, &gateways, &routes, &services} {
		if err := w.client.List(ctx, list); err != nil {
			return nil
		}
	}
	in := gatewayapi.Input{Settings: &model.Settings{DomainSuffix: "cluster.local"}}
	for i := range classes.Items {
		in.GatewayClasses = append(in.GatewayClasses, &classes.Items[i])
	}
	for i := range gateways.Items {
		in.Gateways = append(in.Gateways, &gateways.Items[i])
	}
	for i := range routes.Items {
		in.HTTPRoutes = append(in.HTTPRoutes, &routes.Items[i])
	}
	for i := range services.Items {
		in.Services = append(in.Services, &services.Items[i])
	}
	return gatewayapi.Build(in, nil).Statuses
}

func (w *world) create(o client.Object) {
	w.Helper()
	if err := w.client.Create(w.Context(), o); err != nil {
		w.Fatal(err)
	}
}

// eventually reads an object until it is as wanted.
func (w *world) eventually(o client.Object, what string, ok func() bool) {
	w.Helper()
	// GatewayClasses that could not be made are tried again after half a minute.
	ctx, cancel := context.WithTimeout(w.Context(), 90*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := w.client.Get(w.Context(), client.ObjectKeyFromObject(o), o)
		if err == nil && ok() {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			w.Fatalf("%s: never came: %v: %+v", what, err, o)
		}
	}
}

func named[T client.Object](o T, namespace, name string) T {
	o.SetNamespace(namespace)
	o.SetName(name)
	return o
}

func edge(name string) *gateway.Gateway {
	g := named(&gateway.Gateway{}, "default", name)
	g.Spec.GatewayClassName = "istio"
	g.Spec.Listeners = []gateway.Listener{{Name: "http", Port: 80, Protocol: gateway.HTTPProtocolType}}
	return g
}

func is(conditions []metav1.Condition, kind, reason string, status metav1.ConditionStatus) bool {
	c := meta.FindStatusCondition(conditions, kind)
	return c != nil && c.Reason == reason && c.Status == status && !c.LastTransitionTime.IsZero()
}

// TestGateway follows one Gateway from its creation to serving.
func TestGateway(t *testing.T) {
	w := start(t)
	class := named(&gateway.GatewayClass{}, "", "istio")
	w.eventually(class, "GatewayClass istio", func() bool {
		return is(class.Status.Conditions, "Accepted", "Accepted", metav1.ConditionTrue) && len(class.Status.SupportedFeatures) > 0
	})
	g := edge("edge")
	w.create(g)
	w.eventually(g, "status without an address", func() bool {
		return is(g.Status.Conditions, "Accepted", "Accepted", metav1.ConditionTrue) &&
			is(g.Status.Conditions, "Programmed", "AddressNotAssigned", metav1.ConditionFalse)
	})
	accepted := meta.FindStatusCondition(g.Status.Conditions, "Accepted").LastTransitionTime

	service, deployment := named(&corev1.Service{}, "default", "edge-istio"), named(&appsv1.Deployment{}, "default", "edge-istio")
	w.eventually(service, "Service", func() bool { return len(service.OwnerReferences) == 1 && service.OwnerReferences[0].UID == g.UID })
	w.eventually(deployment, "Deployment", func() bool { return true })
	service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}}
	deployment.Status = appsv1.DeploymentStatus{Replicas: 1, ReadyReplicas: 1, AvailableReplicas: 1, UpdatedReplicas: 1, ObservedGeneration: deployment.Generation}
	for _, o := range []client.Object{service, deployment} {
		if err := w.client.Status().Update(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	w.eventually(g, "status of a Gateway that serves", func() bool {
		return is(g.Status.Conditions, "Programmed", "Programmed", metav1.ConditionTrue) && len(g.Status.Addresses) == 1 &&
			g.Status.Addresses[0].Value == "192.0.2.1" && len(g.Status.Listeners) == 1 && is(g.Status.Listeners[0].Conditions, "Programmed", "Programmed", metav1.ConditionTrue)
	})
	if now := meta.FindStatusCondition(g.Status.Conditions, "Accepted").LastTransitionTime; !now.Equal(&accepted) {
		t.Error("a condition that did not change has another time")
	}

	version := g.ResourceVersion
	g.Spec.Listeners[0].Hostname = new(gateway.Hostname("a.example.com"))
	if err := w.client.Update(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	w.eventually(g, "the newer generation", func() bool {
		return meta.FindStatusCondition(g.Status.Conditions, "Programmed").ObservedGeneration == g.Generation
	})
	if g.ResourceVersion == version {
		t.Error("nothing was written")
	}
	version = g.ResourceVersion
	begun := w.rounds.Load()
	w.eventually(g, "three rounds more", func() bool { return w.rounds.Load() > begun+3 })
	if g.ResourceVersion != version {
		t.Error("a status that says the same was written again")
	}

	if err := w.client.Delete(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	w.eventually(service, "the Service that somebody deleted", func() bool { return service.DeletionTimestamp == nil })
}

// TestForeignObjects: what has a Gateway's name and is not its own stays as it is.
func TestForeignObjects(t *testing.T) {
	w := start(t)
	theirs := named(&corev1.Service{}, "default", "clash-istio")
	theirs.Spec.Ports = []corev1.ServicePort{{Port: 1234}}
	w.create(theirs)
	g := edge("clash")
	w.create(g)
	w.eventually(g, "status", func() bool {
		c := meta.FindStatusCondition(g.Status.Conditions, "Programmed")
		return c != nil && c.Reason == "NoResources" && strings.Contains(c.Message, "Service clash-istio exists already")
	})
	w.eventually(theirs, "Service", func() bool { return len(theirs.Spec.Ports) == 1 && theirs.Spec.Ports[0].Port == 1234 })
}

// TestRouteParents: what other controllers say stays, what is no longer ours goes.
func TestRouteParents(t *testing.T) {
	w := start(t)
	w.create(edge("front"))
	r := named(&gateway.HTTPRoute{}, "default", "web")
	r.Spec.ParentRefs = []gateway.ParentReference{{Name: "front"}}
	w.create(r)
	ours := func() []gateway.RouteParentStatus {
		var found []gateway.RouteParentStatus
		for _, p := range r.Status.Parents {
			if p.ControllerName == gatewayapi.ControllerName {
				found = append(found, p)
			}
		}
		return found
	}
	w.eventually(r, "our parent", func() bool {
		return len(ours()) == 1 && is(ours()[0].Conditions, "Accepted", "Accepted", metav1.ConditionTrue)
	})
	r.Status.Parents = append(r.Status.Parents, gateway.RouteParentStatus{
		ParentRef: gateway.ParentReference{Name: "theirs"}, ControllerName: "example.com/other",
		Conditions: []metav1.Condition{{Type: "Accepted", Status: metav1.ConditionTrue, Reason: "Accepted", LastTransitionTime: metav1.Now()}},
	})
	if err := w.client.Status().Update(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	r.Spec.ParentRefs = []gateway.ParentReference{{Name: "theirs"}}
	if err := w.client.Update(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	w.eventually(r, "theirs alone", func() bool {
		return len(ours()) == 0 && len(r.Status.Parents) == 1 && r.Status.Parents[0].ControllerName == "example.com/other"
	})
}
