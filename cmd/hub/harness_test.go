// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logzap "sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/status"
	"github.com/isthmesh/isthmesh/test/apiserver"
)

// The clusters: a hub, and two that become members.
var hubCluster, west, east *apiserver.Server

func TestMain(m *testing.M) { apiserver.Main(withHub{m}, &hubCluster, &west, &east) }

// withHub stops the hub, if a test started it, before its API server.
type withHub struct{ m *testing.M }

func (w withHub) Run() int {
	code := w.m.Run()
	stop()
	if started.Load() {
		<-stopped
	}
	return code
}

var (
	running, stop = context.WithCancel(context.Background())
	started       atomic.Bool
	stopped       = make(chan struct{})
)

const system = "istio-system"

// shared is the one hub that all tests share, as federations do. It logs with `go test -v`.
var shared = sync.OnceValue(func() error {
	log := logr.Discard()
	if testing.Verbose() {
		log = logzap.New(logzap.UseDevMode(true))
	}
	ctrl.SetLogger(log)
	address, err := freeAddress()
	for webhookAddress = address; err == nil && webhookAddress == address; {
		webhookAddress, err = freeAddress()
	}
	if err != nil {
		return err
	}
	o, err := parse([]string{
		"--metrics-bind-address=0", "--health-probe-bind-address=0", "--namespace=default",
		"--federation-bind-address=" + address, "--federation-address=" + address,
		"--webhook-bind-address=" + webhookAddress,
	})
	if err != nil {
		return err
	}
	mgr, err := newManager(rest.CopyConfig(hubCluster.Config), o)
	if err != nil {
		return err
	}
	h := &federationHub{options: o, manager: mgr, log: log, outside: true, now: time.Now, rand: rand.Reader}
	if err := h.setUp(running); err != nil {
		return err
	}
	started.Store(true)
	go func() {
		defer close(stopped)
		if err := mgr.Start(running); err != nil {
			fmt.Fprintln(os.Stderr, "hub:", err)
		}
	}()
	return nil
})

// webhookAddress is where the shared hub has objects validated.
var webhookAddress string

// freeAddress is one that nobody listens on. It is of this process alone, as all of
// 127.0.0.0/8 is on loopback: nobody else is given the port before it is used.
func freeAddress() (string, error) {
	pid := os.Getpid()
	socket, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 64+pid>>16&63, pid>>8&255, pid&255))
	if err != nil {
		return "", err
	}
	return socket.Addr().String(), socket.Close()
}

// startHub runs the hub, and returns a client of its cluster.
func startHub(t *testing.T) client.Client {
	t.Helper()
	if err := shared(); err != nil {
		t.Fatal(err)
	}
	return newClient(t, hubCluster)
}

func newClient(t *testing.T, s *apiserver.Server) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.New(s.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// eventually polls until f returns "", and fails with what it said last.
func eventually(t *testing.T, f func() string) {
	t.Helper()
	deadline, tick := time.After(3*time.Minute), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		last := f()
		if last == "" {
			return
		}
		select {
		case <-deadline:
			t.Fatal(last)
		case <-tick.C:
		}
	}
}

// condition waits for a condition of an object to have a status and a reason.
func condition(t *testing.T, c client.Client, o client.Object, kind string, want metav1.ConditionStatus, reason string) metav1.Condition {
	t.Helper()
	var got metav1.Condition
	eventually(t, func() string {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			return err.Error()
		}
		var conditions []metav1.Condition
		switch o := o.(type) {
		case *v1alpha1.MeshMember:
			conditions = o.Status.Conditions
		case *v1alpha1.MeshFederation:
			conditions = o.Status.Conditions
		}
		found := status.Find(conditions, kind)
		if found == nil || found.Status != want || found.Reason != reason {
			return fmt.Sprintf("%s %s: want %s %s, have %+v", o.GetName(), kind, want, reason, conditions)
		}
		got = *found
		return ""
	})
	return got
}

// namespace makes one in the hub for a test alone, with a federation in it.
func namespace(t *testing.T, c client.Client, name string) *v1alpha1.MeshFederation {
	t.Helper()
	federation := &v1alpha1.MeshFederation{
		ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "shop"},
		Spec: v1alpha1.MeshFederationSpec{
			Trust:          v1alpha1.Trust{Domain: "shop.example"},
			MemberSelector: metav1.LabelSelector{MatchLabels: map[string]string{"mesh": "shop"}},
		},
	}
	for _, o := range []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, federation} {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	return federation
}

// newMember is a MeshMember and the Secret with its kubeconfig.
func newMember(federation *v1alpha1.MeshFederation, name string, kubeconfig []byte) (*v1alpha1.MeshMember, *corev1.Secret) {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: federation.Namespace, Name: name + "-kubeconfig"},
		Data:       map[string][]byte{"kubeconfig": kubeconfig},
	}
	return &v1alpha1.MeshMember{
		ObjectMeta: metav1.ObjectMeta{Namespace: federation.Namespace, Name: name, Labels: map[string]string{"mesh": "shop"}},
		Spec:       v1alpha1.MeshMemberSpec{KubeconfigSecretRef: &v1alpha1.LocalObjectReference{Name: secret.Name}},
	}, secret
}

func create(t *testing.T, c client.Client, objects ...client.Object) {
	t.Helper()
	for _, o := range objects {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

func kubeconfig(t *testing.T, s *apiserver.Server, user string, groups ...string) []byte {
	t.Helper()
	out, err := s.Kubeconfig(user, groups...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// told waits for an event about an object, and returns its note.
func told(t *testing.T, c client.Client, about client.Object, kind, reason string) string {
	t.Helper()
	note := ""
	eventually(t, func() string {
		var list eventsv1.EventList
		if err := c.List(t.Context(), &list, client.InNamespace(about.GetNamespace())); err != nil {
			return err.Error()
		}
		var seen []string
		for _, e := range list.Items {
			if e.Regarding.Name != about.GetName() {
				continue
			}
			if e.Type == kind && e.Reason == reason {
				note = e.Note
				return ""
			}
			seen = append(seen, e.Type+" "+e.Reason+": "+e.Note)
		}
		return fmt.Sprintf("no event %s %s about %s; there are:\n%s", kind, reason, about.GetName(), strings.Join(seen, "\n"))
	})
	return note
}

// gone waits until an object is.
func gone(t *testing.T, c client.Client, o client.Object) {
	t.Helper()
	eventually(t, func() string {
		err := c.Get(t.Context(), client.ObjectKeyFromObject(o), o)
		if apierrors.IsNotFound(err) {
			return ""
		}
		return fmt.Sprintf("%s is still there: %v", o.GetName(), err)
	})
}
