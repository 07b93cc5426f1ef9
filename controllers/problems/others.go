// SPDX-License-Identifier: Apache-2.0

package problems

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// Others reads what Reporters of other replicas say. The leader runs it.
type Others struct {
	Client kubernetes.Interface
	// Namespace of the control plane, and the name of this replica's Pod.
	Namespace, Replica string
	// News is told when somebody says something else.
	News func()
	// Lapse is how long what isn't renewed counts; ninety seconds by default.
	Lapse time.Duration

	mu   sync.Mutex
	said map[string]heard
}

// heard of one replica. When is by the own clock: those of others may be wrong.
type heard struct {
	version string
	when    time.Time
	said    []Said
}

// Said by the others now, by the order of their names.
func (o *Others) Said() []Said {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []Said
	for _, name := range slices.Sorted(maps.Keys(o.said)) {
		if h := o.said[name]; time.Since(h.when) < o.lapse() {
			out = append(out, h.said...)
		}
	}
	return out
}

func (o *Others) lapse() time.Duration { return cmp.Or(o.Lapse, 90*time.Second) }

// Run reads until ctx ends; it returns ctx's error.
func (o *Others) Run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(o.Client, 0, informers.WithNamespace(o.Namespace),
		informers.WithTweakListOptions(func(l *metav1.ListOptions) { l.LabelSelector = reportLabel }))
	reports := factory.Core().V1().ConfigMaps()
	changed := make(chan struct{}, 1)
	look := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	if _, err := reports.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { look() }, UpdateFunc: func(any, any) { look() }, DeleteFunc: func(any) { look() },
	}); err != nil {
		return fmt.Errorf("watch what other replicas say: %w", err)
	}
	defer factory.Shutdown()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	factory.StartWithContext(ctx)
	ticker := time.NewTicker(o.lapse() / 6)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-ticker.C:
		}
		if o.look(ctx, reports.Lister()) {
			o.News()
		}
	}
}

// look at what there is; true when it says something else than before. What lapsed
// is removed.
func (o *Others) look(ctx context.Context, lister corev1listers.ConfigMapLister) bool {
	list, err := lister.ConfigMaps(o.Namespace).List(labels.Everything())
	if err != nil {
		return false
	}
	now := time.Now()
	o.mu.Lock()
	before := o.said
	o.said = make(map[string]heard, len(list))
	var lapsed []*corev1.ConfigMap
	news := false
	for _, c := range list {
		if c.Name == reportPrefix+o.Replica {
			continue
		}
		h := before[c.Name]
		if h.version != c.ResourceVersion {
			h = heard{c.ResourceVersion, now, decode(c.Data[dataKey])}
		}
		if now.Sub(h.when) >= o.lapse() {
			lapsed, news = append(lapsed, c), true
		}
		o.said[c.Name] = h
	}
	news = news || !maps.EqualFunc(before, o.said, func(a, b heard) bool { return slices.Equal(a.said, b.said) })
	o.mu.Unlock()
	for _, c := range lapsed {
		err := o.Client.CoreV1().ConfigMaps(o.Namespace).Delete(ctx, c.Name, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &c.UID, ResourceVersion: &c.ResourceVersion},
		})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) && ctx.Err() == nil {
			logr.FromContextOrDiscard(ctx).WithName("problems").Info("what a replica said that is gone can't be removed", "name", c.Name, "cause", err.Error())
		}
	}
	return news
}
