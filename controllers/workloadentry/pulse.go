// SPDX-License-Identifier: Apache-2.0

package workloadentry

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coordinationv1 "k8s.io/client-go/applyconfigurations/coordination/v1"
	metav1apply "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	// pulseLabel is on the Leases by which replicas with machines tell that they are
	// there; pulsePrefix begins their names, which end with the pod's.
	pulseLabel  = "isthmesh.dev/machines"
	pulsePrefix = "isthmesh-machines-"
	// standardPulse is how often, and lapse after how many of them without any a
	// replica is gone.
	standardPulse = 5 * time.Second
	lapse         = 3
)

// ReplicaName is the name on entries of one run of a replica: the namespace of the
// control plane, the pod, and what tells this run of it from others.
func ReplicaName(namespace, pod, run string) string { return namespace + "/" + pod + "/" + run }

// Pulse tells the leader that this run of this replica is there, as long as it
// has machines, in a Lease that goes with its Pod.
type Pulse struct {
	Client kubernetes.Interface
	// Namespace of the control plane, and the name of this replica's Pod.
	Namespace, Pod string
	// Replica is its name on entries.
	Replica string
	// Serves is true while there are machines.
	Serves func() bool
	// Every is how often it tells; five seconds by default.
	Every time.Duration

	uid types.UID // of the Pod; once it was found
}

// Run works until ctx ends; it returns ctx's error.
func (p *Pulse) Run(ctx context.Context) error {
	ticker := time.NewTicker(cmp.Or(p.Every, standardPulse))
	defer ticker.Stop()
	failed := ""
	for {
		if p.Serves() {
			if err := p.tell(ctx); err != nil && ctx.Err() == nil && err.Error() != failed {
				failed = err.Error()
				logr.FromContextOrDiscard(ctx).WithName("machines").Info("the leader isn't told that this replica has machines, it is tried again", "cause", failed)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

func (p *Pulse) tell(ctx context.Context) error {
	if p.uid == "" {
		if pod, err := p.Client.CoreV1().Pods(p.Namespace).Get(ctx, p.Pod, metav1.GetOptions{}); err == nil {
			p.uid = pod.UID
		}
	}
	every := cmp.Or(p.Every, standardPulse)
	l := coordinationv1.Lease(pulsePrefix+p.Pod, p.Namespace).
		WithLabels(map[string]string{pulseLabel: "true"}).
		WithSpec(coordinationv1.LeaseSpec().WithHolderIdentity(p.Replica).
			WithLeaseDurationSeconds(max(1, int32(lapse*every/time.Second))).WithRenewTime(metav1.NowMicro()))
	if p.uid != "" {
		l = l.WithOwnerReferences(metav1apply.OwnerReference().WithAPIVersion("v1").WithKind("Pod").WithName(p.Pod).WithUID(p.uid))
	}
	_, err := p.Client.CoordinationV1().Leases(p.Namespace).Apply(ctx, l, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	if err != nil {
		return fmt.Errorf("write Lease %s: %w", pulsePrefix+p.Pod, err)
	}
	return nil
}

// pulses are what the leader has heard of the others, by replica. When is by its
// own clock: those of others may be wrong.
type pulses map[string]pulse

type pulse struct {
	version string
	when    time.Time
}

// heard lists the Leases and returns what is known then. Replicas that entries name
// and that have none are as if they had told once, when they were first asked for.
func (p pulses) heard(ctx context.Context, api kubernetes.Interface, namespace string, named map[string]bool, now time.Time) (pulses, error) {
	list, err := api.CoordinationV1().Leases(namespace).List(ctx, metav1.ListOptions{LabelSelector: pulseLabel})
	if err != nil {
		return nil, fmt.Errorf("list the Leases of replicas with machines: %w", err)
	}
	versions := map[string]string{}
	for i := range list.Items {
		if holder := list.Items[i].Spec.HolderIdentity; holder != nil {
			versions[*holder] = list.Items[i].ResourceVersion
		}
	}
	next := pulses{}
	for replica := range named {
		h, known := p[replica]
		if !known || h.version != versions[replica] && versions[replica] != "" {
			h = pulse{versions[replica], now}
		}
		next[replica] = h
	}
	return next, nil
}

// isOurs is true for a replica of the control plane of a namespace.
func isOurs(namespace string) func(replica string) bool {
	return func(replica string) bool { return strings.HasPrefix(replica, namespace+"/") }
}
