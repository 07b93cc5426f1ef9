// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	istio "istio.io/client-go/pkg/clientset/versioned"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/isthmesh/isthmesh/controllers/workloadentry"
)

const (
	// machineLease is one for all revisions in a namespace, as problemLease is.
	machineLease = "isthmesh-machines"
	// graceVariable is Istio's name of the setting.
	graceVariable = "PILOT_WORKLOAD_ENTRY_GRACE_PERIOD"
)

// readGrace takes Istio's variable where the flag isn't set.
func (o *options) readGrace(set bool, getenv func(string) string) error {
	if text := getenv(graceVariable); text != "" && !set {
		grace, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%s: %w", graceVariable, err)
		}
		o.machineGrace = grace
	}
	if o.machineGrace <= 0 {
		return fmt.Errorf("%s is how long a machine may be away, and must be longer than none", o.machineGrace)
	}
	return nil
}

// machines registers those that are connected to this replica, and removes, in the
// replica that holds the lease, those that are gone.
type machines struct {
	*workloadentry.Registrar
	pulse *workloadentry.Pulse
	sweep *workloadentry.Sweeper
}

// newMachines that are told when the pipeline of last has news.
func newMachines(cfg *rest.Config, kube kubernetes.Interface, o *options, registry prometheus.Registerer, last func() *built) (*machines, error) {
	own := rest.CopyConfig(cfg)
	// All of them come back at once after a restart.
	own.QPS, own.Burst = 400, 800
	client, err := istio.NewForConfig(own)
	if err != nil {
		return nil, fmt.Errorf("make the client for machines: %w", err)
	}
	api := client.NetworkingV1()
	objects := func() workloadentry.Objects {
		b := last()
		if b == nil {
			return workloadentry.Objects{}
		}
		return workloadentry.Objects{Entries: b.objects.Istio.WorkloadEntries, Groups: b.objects.Istio.WorkloadGroups, Known: true}
	}
	replica := workloadentry.ReplicaName(o.namespace, o.identity(), rand.Text()[:8])
	metrics := workloadentry.NewMetrics(registry)
	r := &workloadentry.Registrar{Client: api, Objects: objects, Changed: make(chan struct{}, 1), Replica: replica, Metrics: metrics}
	return &machines{
		Registrar: r,
		pulse:     &workloadentry.Pulse{Client: kube, Namespace: o.namespace, Pod: o.identity(), Replica: replica, Serves: r.Serves},
		sweep: &workloadentry.Sweeper{
			Client: api, Kubernetes: kube, Objects: objects, Changed: make(chan struct{}, 1), Namespace: o.namespace, Replica: replica,
			Grace: o.machineGrace, Metrics: metrics,
		},
	}, nil
}

// told of news.
func (x *machines) told() []chan<- struct{} {
	return []chan<- struct{}{x.Changed, x.sweep.Changed}
}

// removeGone machines while this replica leads.
func (x *machines) removeGone(ctx context.Context, m meshParts) error {
	return whileLeading(ctx, m, machineLease, x.sweep.Run)
}
