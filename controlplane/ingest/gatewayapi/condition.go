// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// fault is why something is not as its object wants it; the zero value is that
// nothing is wrong.
type fault struct{ reason, message string }

func faultf[R ~string](reason R, format string, args ...any) fault {
	return fault{string(reason), fmt.Sprintf(format, args...)}
}

func (f fault) none() bool { return f.reason == "" }

// first keeps the fault that was found first, and adds what was found later to
// its message.
func (f *fault) first(found fault) {
	switch {
	case found.none() || strings.Contains(f.message, found.message):
	case f.none():
		*f = found
	default:
		f.message = sentence(f.message) + " " + found.message
	}
}

// firm keeps what is found as first does, but a fault that another object may mend, since it
// is not there yet, gives its reason up for one that only a change of this one mends.
func (f *fault) firm(found fault) {
	if f.reason == string(gateway.RouteReasonBackendNotFound) && !found.none() {
		f.reason = found.reason
	}
	f.first(found)
}

// sentence ends with a full stop.
func sentence(s string) string { return strings.TrimSuffix(s, ".") + "." }

// holds is what a condition says when it holds, by its type.
var holds = map[string]string{
	string(gateway.GatewayConditionAccepted):      "It is valid, and this mesh acts on it.",
	string(gateway.ListenerConditionResolvedRefs): "All that it refers to is there, and may be used.",
	string(gateway.GatewayConditionProgrammed):    "Proxies serve it.",
}

// good is a condition that holds, or is False for the fault's reason.
func good[T, R ~string](t T, reason R, f fault, generation int64) metav1.Condition {
	c := metav1.Condition{Type: string(t), Status: metav1.ConditionTrue, Reason: string(reason), ObservedGeneration: generation, Message: holds[string(t)]}
	if !f.none() {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, f.reason, clip(f.message)
	}
	return c
}

// bad is a condition that says False when all is well, such as Conflicted.
func bad[T, R ~string](t T, reason R, f fault, generation int64) metav1.Condition {
	c := metav1.Condition{Type: string(t), Status: metav1.ConditionFalse, Reason: string(reason), ObservedGeneration: generation}
	if !f.none() {
		c.Status, c.Reason = metav1.ConditionTrue, f.reason
	}
	c.Message = clip(f.message)
	return c
}

// maxMessage is what the API server takes as a condition's message.
const maxMessage = 32768

func clip(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage-3], "") + "..."
}
