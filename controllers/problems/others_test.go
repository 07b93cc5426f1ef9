// SPDX-License-Identifier: Apache-2.0

package problems

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestOthersNews: there is news when replicas say something else, when one that
// said something is gone and another came, and not for what this one says itself.
func TestOthersNews(t *testing.T) {
	one := encode([]Said{{Problem: model.Problem{Kind: "Sidecar", Namespace: "shop", Name: "a", Reason: model.RejectedByProxy, Message: "no"}}})
	o := &Others{Namespace: "istio-system", Replica: "own"}
	for i, step := range []struct {
		name string
		says map[string]string // by replica
		want bool
	}{
		{"Nobody", nil, false},
		{"OnlyThisOne", map[string]string{"own": one}, false},
		{"Another", map[string]string{"own": one, "x": one}, true},
		{"Renewed", map[string]string{"own": one, "x": one}, false},
		{"ReplacedByOneThatSaysNothing", map[string]string{"own": one, "y": ""}, true},
		{"Gone", map[string]string{"own": one}, true},
		{"StillGone", map[string]string{"own": one}, false},
	} {
		t.Run(step.name, func(t *testing.T) {
			store := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
			for replica, text := range step.says {
				c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: reportPrefix + replica, ResourceVersion: fmt.Sprint(i)}, Data: map[string]string{dataKey: text}}
				if err := store.Add(c); err != nil {
					t.Fatal(err)
				}
			}
			if got := o.look(t.Context(), corev1listers.NewConfigMapLister(store)); got != step.want {
				t.Errorf("news: %v, want %v", got, step.want)
			}
		})
	}
}
