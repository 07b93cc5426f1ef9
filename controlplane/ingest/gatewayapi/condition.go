// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// sentence ends with a full stop.
func sentence(s string) string { return strings.TrimSuffix(s, ".") + "." }

// good is a condition that holds, or is False for the fault's reason.
func good[T, R ~string](t T, reason R, f fault, generation int64) metav1.Condition {
	c := metav1.Condition{Type: string(t), Status: metav1.ConditionTrue, Reason: string(reason), ObservedGeneration: generation}
	if !f.none() {
		c.Status, c.Reason = metav1.ConditionFalse, f.reason
	}
	c.Message = clip(f.message)
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
