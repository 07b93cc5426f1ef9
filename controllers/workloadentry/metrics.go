// SPDX-License-Identifier: Apache-2.0

package workloadentry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/isthmesh/isthmesh/controlplane/registration"
)

// Metrics in Istio's names.
type Metrics struct {
	success, updates, unregistered, deletes, errors prometheus.Counter
}

// NewMetrics that a registry takes; nil keeps them to themselves.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		if r != nil {
			r.MustRegister(c)
		}
		return c
	}
	return &Metrics{
		success:      counter("auto_registration_success_total", "Machines that were registered."),
		updates:      counter("auto_registration_updates_total", "Registered machines that came back."),
		unregistered: counter("auto_registration_unregister_total", "Registered machines that left."),
		deletes:      counter("auto_registration_deletes_total", "WorkloadEntries that were removed since their machines stayed away."),
		errors:       counter("auto_registration_errors_total", "Machines that were refused, and WorkloadEntries that could not be written."),
	}
}

// count a change that was written.
func (m *Metrics) count(c registration.Change) {
	switch {
	case c.Create != nil:
		m.success.Inc()
	case c.Delete:
		m.deletes.Inc()
	case c.Annotations[registration.ConnectedAnnotation] != "":
		m.updates.Inc()
	case c.Annotations != nil:
		m.unregistered.Inc()
	}
}
