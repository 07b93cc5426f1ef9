// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"
	metaapi "istio.io/api/meta/v1alpha1"
	networking "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Healthy is the condition's type, Istio's own: endpoints of an entry that waits
// for reports are ready when it is True.
const Healthy = "Healthy"

// Reasons of the condition.
const (
	reasonProbed      = "Probed"
	reasonProbeFailed = "ProbeFailed"
)

// longestMessage that is kept of a report.
const longestMessage = 1024

// reported is what the conditions of an entry become with a report; nil when they
// stay, because there is none, the entry doesn't wait for reports, or it knows a
// later one.
func reported(e *networking.WorkloadEntry, h *model.MachineHealth) []*metaapi.IstioCondition {
	if _, asks := e.Annotations[HealthAnnotation]; !asks || h == nil {
		return nil
	}
	at := timestamppb.New(h.At)
	c := &metaapi.IstioCondition{
		Type: Healthy, Status: "True", Reason: reasonProbed, LastProbeTime: at, LastTransitionTime: at, ObservedGeneration: e.Generation,
	}
	if !h.Healthy {
		c.Status, c.Reason, c.Message = "False", reasonProbeFailed, clip(h.Message)
	}
	i := slices.IndexFunc(e.Status.GetConditions(), func(c *metaapi.IstioCondition) bool { return c.GetType() == Healthy })
	if i < 0 {
		return append(slices.Clone(e.Status.GetConditions()), c)
	}
	was := e.Status.GetConditions()[i]
	if !h.At.After(was.GetLastProbeTime().AsTime()) {
		return nil
	}
	if was.GetStatus() == c.GetStatus() && was.GetLastTransitionTime() != nil {
		c.LastTransitionTime = was.GetLastTransitionTime()
	}
	out := slices.Clone(e.Status.GetConditions())
	out[i] = c
	return out
}

func clip(s string) string {
	s = strings.ToValidUTF8(s, "")
	if len(s) > longestMessage {
		s = strings.ToValidUTF8(s[:longestMessage], "") + "…"
	}
	return s
}
