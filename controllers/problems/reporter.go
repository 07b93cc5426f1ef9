// SPDX-License-Identifier: Apache-2.0

package problems

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	metav1apply "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	// reportLabel is on the ConfigMaps in which replicas tell what their proxies
	// reject; reportPrefix begins their names, which end with the replica's.
	reportLabel  = "isthmesh.dev/rejections"
	reportPrefix = "isthmesh-rejections-"
	// renewed is an annotation that changes as long as the replica is there.
	renewed = "isthmesh.dev/renewed"
)

// unsure is no text that is written.
const unsure = "?"

// Reporter tells the leader what the proxies of its own replica reject, in a
// ConfigMap of the control plane's namespace. There is none as long as they
// reject nothing, and it goes with the replica: the replica removes it, else the
// garbage collector does with the replica's Pod, else the leader when it isn't
// renewed any more.
type Reporter struct {
	Client kubernetes.Interface
	// Namespace of the control plane, and the name of this replica's Pod.
	Namespace, Replica string
	// Rejected is what Rejected makes of the newest Problems; false as long as
	// nothing is known.
	Rejected func() ([]Said, bool)
	// Pause is the least time between two writes; two seconds by default.
	Pause time.Duration
	// Renew is how often the ConfigMap is written when it says the same; thirty
	// seconds by default.
	Renew time.Duration

	last string // what was written; "" for nothing, or unsure
	at   time.Time
	uid  string // of the Pod; once it was found
}

// Run works until ctx ends; it returns ctx's error.
func (r *Reporter) Run(ctx context.Context) error {
	// What the same Pod said before its container started again is old.
	r.last = unsure
	defer func() {
		gone, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if r.last != "" {
			_ = r.remove(gone)
		}
	}()
	ticker := time.NewTicker(cmp.Or(r.Pause, 2*time.Second))
	defer ticker.Stop()
	failed := ""
	for {
		if err := r.say(ctx); err != nil && ctx.Err() == nil && err.Error() != failed {
			failed = err.Error()
			logr.FromContextOrDiscard(ctx).WithName("problems").Info("the leader isn't told what proxies of this replica reject, it is tried again", "cause", failed)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// say what is new, or that it is still so.
func (r *Reporter) say(ctx context.Context) error {
	said, known := r.Rejected()
	if !known {
		return nil
	}
	text := ""
	if len(said) > 0 {
		text = encode(said)
	}
	switch {
	case text == "" && r.last == "":
		return nil
	case text == "":
		if err := r.remove(ctx); err != nil {
			return err
		}
	case text == r.last && time.Since(r.at) < cmp.Or(r.Renew, 30*time.Second):
		return nil
	default:
		r.last = unsure // one that fails may have come through
		if err := r.write(ctx, text); err != nil {
			return err
		}
	}
	r.last, r.at = text, time.Now()
	return nil
}

func (r *Reporter) remove(ctx context.Context) error {
	err := r.Client.CoreV1().ConfigMaps(r.Namespace).Delete(ctx, reportPrefix+r.Replica, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete ConfigMap %s: %w", reportPrefix+r.Replica, err)
	}
	return nil
}

func (r *Reporter) write(ctx context.Context, text string) error {
	o := corev1apply.ConfigMap(reportPrefix+r.Replica, r.Namespace).
		WithLabels(map[string]string{reportLabel: "true"}).
		WithAnnotations(map[string]string{renewed: time.Now().UTC().Format(time.RFC3339)}).
		WithData(map[string]string{dataKey: text})
	if r.uid == "" {
		if pod, err := r.Client.CoreV1().Pods(r.Namespace).Get(ctx, r.Replica, metav1.GetOptions{}); err == nil {
			r.uid = string(pod.UID)
		}
	}
	if r.uid != "" {
		o = o.WithOwnerReferences(metav1apply.OwnerReference().WithAPIVersion("v1").WithKind("Pod").WithName(r.Replica).WithUID(types.UID(r.uid)))
	}
	_, err := r.Client.CoreV1().ConfigMaps(r.Namespace).Apply(ctx, o, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	if err != nil {
		return fmt.Errorf("write ConfigMap %s: %w", reportPrefix+r.Replica, err)
	}
	return nil
}
