// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	networking "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Controller writes the statuses and the Events.
type Controller struct {
	Kube kubernetes.Interface
	// Wanted is what the last mesh says; false while there is none.
	Wanted func() (Wanted, bool)
	// Changed is readable when Wanted may say something else.
	Changed <-chan struct{}
	// Again is when addresses are looked at without any news; 30 s by default.
	Again time.Duration

	told told
}

// pause is the least time between two rounds.
const pause = time.Second

// Run until ctx ends.
func (c *Controller) Run(ctx context.Context) {
	log := logr.FromContextOrDiscard(ctx).WithName("ingress")
	again := c.Again
	if again == 0 {
		again = 30 * time.Second
	}
	ticker := time.NewTicker(again)
	defer ticker.Stop()
	last := ""
	for {
		err := c.round(ctx)
		if err != nil && ctx.Err() == nil && err.Error() != last {
			log.Info("not all statuses and Events of Ingresses are written, it is tried again", "cause", err.Error())
		}
		if last = ""; err != nil {
			last = err.Error()
		}
		// Meshes follow each other faster than anybody reads statuses.
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		select {
		case <-ctx.Done():
			return
		case <-c.Changed:
		case <-ticker.C:
		}
	}
}

// round writes what differs.
func (c *Controller) round(ctx context.Context) error {
	w, ok := c.Wanted()
	if !ok {
		return nil
	}
	return errors.Join(c.statuses(ctx, w), c.events(ctx, w))
}

// statuses with the gateway's addresses. Without its Service nothing is known, and
// nothing taken away.
func (c *Controller) statuses(ctx context.Context, w Wanted) error {
	if len(w.Ingresses) == 0 {
		return nil
	}
	s, err := c.Kube.CoreV1().Services(w.Namespace).Get(ctx, w.Service, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read Service %s/%s: %w", w.Namespace, w.Service, err)
	}
	want := addresses(s)
	var failed error
	for _, name := range w.Ingresses {
		if err := c.tell(ctx, name, want); err != nil {
			failed = errors.Join(failed, fmt.Errorf("status of Ingress %s: %w", name, err))
		}
	}
	return failed
}

func (c *Controller) tell(ctx context.Context, full string, want []networking.IngressLoadBalancerIngress) error {
	namespace, name, _ := strings.Cut(full, "/")
	ingresses := c.Kube.NetworkingV1().Ingresses(namespace)
	o, err := ingresses.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if equality.Semantic.DeepEqual(o.Status.LoadBalancer.Ingress, want) {
		return nil
	}
	o.Status.LoadBalancer.Ingress = want
	_, err = ingresses.UpdateStatus(ctx, o, metav1.UpdateOptions{})
	return err
}
