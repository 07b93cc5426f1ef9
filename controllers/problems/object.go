// SPDX-License-Identifier: Apache-2.0

package problems

import (
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// fieldManager owns what is written.
const fieldManager = "isthmesh-problems"

// onObject is what an object's status says now.
type onObject struct {
	// conditions are all of them, as they are.
	conditions []any
	// at is where ours is among them; -1 for nowhere.
	at int
	// condition is ours, with the generation that it speaks of.
	condition metav1.Condition
	// observed is status.observedGeneration.
	observed int64
}

// statusOf an object; false when its status is not one of Istio's, which is then
// nobody's to write to.
func statusOf(u *unstructured.Unstructured) (onObject, bool) {
	out := onObject{at: -1}
	raw, there := u.Object["status"]
	if !there || raw == nil {
		return out, true
	}
	status, ok := raw.(map[string]any)
	if !ok {
		return out, false
	}
	out.observed = number(status["observedGeneration"])
	if status["conditions"] == nil {
		return out, true
	}
	if out.conditions, ok = status["conditions"].([]any); !ok {
		return out, false
	}
	for i, raw := range out.conditions {
		c, ok := raw.(map[string]any)
		if !ok {
			return out, false
		}
		if text(c, "type") != Reconciled || out.at >= 0 {
			continue
		}
		out.at = i
		out.condition = metav1.Condition{
			Type: Reconciled, Status: metav1.ConditionStatus(text(c, "status")), Reason: text(c, "reason"), Message: text(c, "message"),
			ObservedGeneration: number(c["observedGeneration"]),
		}
		// One that can't be read is as good as none.
		if t, err := time.Parse(time.RFC3339, text(c, "lastTransitionTime")); err == nil {
			out.condition.LastTransitionTime = metav1.NewTime(t)
		}
	}
	return out, true
}

func text(c map[string]any, field string) string {
	s, _ := c[field].(string)
	return s
}

// number reads an integer, which Istio's API also writes as a string.
func number(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case float64:
		return int64(v)
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		if err == nil {
			return n
		}
	}
	return 0
}

// says is what the condition on the object tells.
func (s onObject) says(uid string) told {
	return told{seen: Seen{UID: uid, Generation: s.condition.ObservedGeneration}, condition: s.condition}
}

// applied is the object to apply for it to say what is wanted, at a time; nil
// when it says so. The conditions of others stay as they are: the list belongs
// to one owner as a whole, so they are in it. The resource version makes the API
// server refuse it when somebody else was faster.
func (s onObject) applied(u *unstructured.Unstructured, want told, now time.Time) *unstructured.Unstructured {
	if s.at >= 0 && s.says(want.seen.UID).equal(want) && s.observed == want.seen.Generation {
		return nil
	}
	since := now.UTC().Truncate(time.Second)
	if s.at >= 0 && s.condition.Status == want.condition.Status && !s.condition.LastTransitionTime.IsZero() {
		since = s.condition.LastTransitionTime.UTC()
	}
	condition := map[string]any{
		"type": Reconciled, "status": string(want.condition.Status), "reason": want.condition.Reason, "message": want.condition.Message,
		"observedGeneration": want.seen.Generation, "lastTransitionTime": since.Format(time.RFC3339),
	}
	conditions := slices.Clone(s.conditions)
	if s.at >= 0 {
		conditions[s.at] = condition
	} else {
		conditions = append(conditions, condition)
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": u.GetAPIVersion(), "kind": u.GetKind(),
		"metadata": map[string]any{
			"name": u.GetName(), "namespace": u.GetNamespace(), "uid": string(u.GetUID()), "resourceVersion": u.GetResourceVersion(),
		},
		"status": map[string]any{"conditions": runtime.DeepCopyJSONValue(conditions), "observedGeneration": want.seen.Generation},
	}}
}

// ours is true when the condition on an object was written here.
func ours(u *unstructured.Unstructured) bool {
	return slices.ContainsFunc(u.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool {
		return f.Manager == fieldManager && f.Subresource == "status"
	})
}
