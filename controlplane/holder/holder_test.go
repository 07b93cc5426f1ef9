// SPDX-License-Identifier: Apache-2.0

package holder

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"

	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/peer"
)

// TestOf: what each kind of caller's certificate says of it. What isn't known is left
// out, and nothing fails.
func TestOf(t *testing.T) {
	yes := true
	pods := fake.NewClientset(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "cart-v1-6f5c-x", UID: "uid-1",
		Labels:          map[string]string{"app": "cart", "version": "v1", "pod-template-hash": "6f5c"},
		OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "cart-v1-6f5c", Controller: &yes}},
	}}, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "named", Labels: map[string]string{"service.istio.io/canonical-name": "till", "service.istio.io/canonical-revision": "7"},
	}})
	pods.PrependReactor("get", "pods", func(a ktesting.Action) (bool, runtime.Object, error) {
		if a.(ktesting.GetAction).GetName() == "unread" {
			return true, nil, errors.New("the API server is away")
		}
		return false, nil, nil
	})
	machine := func(name, version string) *model.Workload {
		return &model.Workload{Name: name, Labels: map[string]string{"app": "db", "version": version}}
	}
	machines := map[string][]*model.Workload{"one": {machine("db-1", "v1")}, "some": {machine("db-1", "v1"), machine("db-2", "v1")}}
	h := &Holders{Pods: pods.CoreV1(), Cluster: "east", Machines: func(_, account string) []*model.Workload { return machines[account] }}
	cart := peer.Peer{
		Workload: "cart-v1", Namespace: "shop", App: "cart", Version: "v1", CanonicalService: "cart", CanonicalRevision: "v1", Cluster: "east",
	}
	unknown := peer.Peer{Namespace: "shop", Cluster: "east"}
	for name, c := range map[string]struct {
		caller authn.Caller
		want   peer.Peer
		fails  bool
	}{
		"Pod":        {authn.Caller{PodName: "cart-v1-6f5c-x", PodUID: "uid-1"}, cart, false},
		"OtherPod":   {authn.Caller{PodName: "cart-v1-6f5c-x", PodUID: "uid-0"}, unknown, true},
		"GonePod":    {authn.Caller{PodName: "gone", PodUID: "uid-1"}, unknown, true},
		"UnreadPod":  {authn.Caller{PodName: "unread", PodUID: "uid-1"}, unknown, true},
		"Named":      {authn.Caller{PodName: "named"}, peer.Peer{Workload: "named", Namespace: "shop", CanonicalService: "till", CanonicalRevision: "7", Cluster: "east"}, false},
		"Renewed":    {authn.Caller{Holder: cart}, cart, false},
		"Nobody":     {authn.Caller{ServiceAccount: "none"}, unknown, false},
		"OneMachine": {authn.Caller{ServiceAccount: "one"}, peer.Peer{Workload: "db-1", Namespace: "shop", App: "db", Version: "v1", CanonicalService: "db", CanonicalRevision: "v1", Cluster: "east"}, false},
		"Machines":   {authn.Caller{ServiceAccount: "some"}, peer.Peer{Namespace: "shop", App: "db", Version: "v1", CanonicalService: "db", CanonicalRevision: "v1", Cluster: "east"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c.caller.Namespace = "shop"
			got, err := h.Of(t.Context(), &c.caller)
			if d := cmp.Diff(c.want, got); d != "" || (err != nil) != c.fails {
				t.Errorf("%v %s", err, d)
			}
		})
	}
}
