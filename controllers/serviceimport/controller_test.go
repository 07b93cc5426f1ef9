// SPDX-License-Identifier: Apache-2.0

package serviceimport_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/mcs-api/config/crd"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	client "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"

	"github.com/isthmesh/isthmesh/controllers/serviceimport"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/test/apiserver"
)

var server *apiserver.Server

func TestMain(m *testing.M) { apiserver.Main(m, &server) }

func facts() serviceimport.Facts {
	return serviceimport.Facts{
		Mesh: &model.Mesh{
			Settings: &model.Settings{Cluster: "west"},
			Services: []model.ServiceState{
				{Service: &model.Service{
					Namespace: "default", Name: "reviews", Imported: true, Exported: true, Local: true,
					Addresses: []netip.Addr{netip.MustParseAddr("10.96.0.7")}, Ports: []model.Port{{Name: "http", Number: 80, Protocol: model.HTTP}},
				}},
				{Service: &model.Service{Namespace: "default", Name: "db", Kind: model.Headless, Imported: true, Ports: []model.Port{{Number: 5432}}}},
				{Service: &model.Service{Namespace: "default", Name: "local", Local: true}},
				{Service: &model.Service{Namespace: "nowhere", Name: "x", Imported: true}},
				{Service: &model.Service{Namespace: "default", Name: "theirs", Imported: true, Ports: []model.Port{{Number: 1}}}},
			},
		},
		Imports: &model.Imports{Members: []model.ImportedMember{
			{Cluster: "east", Services: []*model.Export{
				{Namespace: "default", Name: "db"}, {Namespace: "default", Name: "reviews"}, {Namespace: "default", Name: "theirs"}, {Namespace: "nowhere", Name: "x"},
			}},
			{Cluster: "south", Services: []*model.Export{{Namespace: "default", Name: "reviews"}}},
		}},
		Namespaces: []*corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "default"}}},
	}
}

// TestMirror writes to a real API server: what is imported is shown, what isn't
// any more goes, and what somebody else made stays as it is.
func TestMirror(t *testing.T) {
	c := install(t)
	api := c.MulticlusterV1beta1().ServiceImports("default")
	foreign := &mcs.ServiceImport{ObjectMeta: metav1.ObjectMeta{Name: "theirs"}, Spec: mcs.ServiceImportSpec{Type: mcs.Headless, Ports: []mcs.ServicePort{}}}
	if _, err := api.Create(t.Context(), foreign, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	now := serviceimport.Facts{Mesh: facts().Mesh}
	changed := make(chan struct{}, 2)
	set := func(f serviceimport.Facts) {
		mu.Lock()
		now = f
		mu.Unlock()
		for range 2 {
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var replicas sync.WaitGroup
	for range 2 {
		replicas.Go(func() {
			_ = (&serviceimport.Controller{Client: c, Changed: changed, Pause: 5 * time.Millisecond, Resync: 50 * time.Millisecond, Facts: func() serviceimport.Facts {
				mu.Lock()
				defer mu.Unlock()
				return now
			}}).Run(ctx)
		})
	}
	t.Cleanup(func() { cancel(); replicas.Wait() })

	set(facts())
	await(t, c, []string{
		"default/db Headless  5432// from east",
		"default/reviews ClusterSetIP 10.96.0.7 80/http/http from east,south,west",
		"default/theirs Headless   from ",
	})
	less := facts()
	less.Imports.Members = less.Imports.Members[1:]
	less.Mesh.Services = less.Mesh.Services[:1]
	less.Mesh.Services[0].Service.Ports[0].Number = 81
	set(less)
	await(t, c, []string{
		"default/reviews ClusterSetIP 10.96.0.7 81/http/http from south,west",
		"default/theirs Headless   from ",
	})
}

func await(t *testing.T, c client.Interface, want []string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for {
		list, err := c.MulticlusterV1beta1().ServiceImports("").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, i := range list.Items {
			got = append(got, describe(i))
		}
		slices.Sort(got)
		if slices.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(cmp.Diff(want, got))
		}
		<-look.C
	}
}

func describe(i mcs.ServiceImport) string {
	var ports, from []string
	for _, p := range i.Spec.Ports {
		app := ""
		if p.AppProtocol != nil {
			app = *p.AppProtocol
		}
		ports = append(ports, fmt.Sprintf("%d/%s/%s", p.Port, p.Name, app))
	}
	for _, c := range i.Status.Clusters {
		from = append(from, c.Cluster)
	}
	return fmt.Sprintf("%s/%s %s %s %s from %s", i.Namespace, i.Name, i.Spec.Type, strings.Join(i.Spec.IPs, ","), strings.Join(ports, ","), strings.Join(from, ","))
}

// install puts the definition of the multi-cluster services API into the API server.
func install(t *testing.T) client.Interface {
	t.Helper()
	server.Define(t, crd.ServiceImportCRD)
	c, err := client.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
