// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

const (
	// reporter names who writes the Events.
	reporter = "isthmesh.dev/ingress-controller"
	// mostEvents of one object; who mends them sees the others.
	mostEvents = 8
	// maxNote and maxName are the API's limits.
	maxNote, maxName = 1024, 253
)

// versions of the kinds that get Events: an Ingress has no conditions, and those
// of routes have none for a rule that an older route hides.
var versions = map[string]string{
	"Ingress":   "networking.k8s.io/v1",
	"HTTPRoute": "gateway.networking.k8s.io/v1",
	"GRPCRoute": "gateway.networking.k8s.io/v1",
	"TLSRoute":  "gateway.networking.k8s.io/v1",
	"TCPRoute":  "gateway.networking.k8s.io/v1",
	"UDPRoute":  "gateway.networking.k8s.io/v1",
}

// telling is what an Event says of an object.
type telling struct {
	model.Problem
	uid types.UID
}

// Tell takes what is to be told by Events out of the mesh's problems. UID finds an
// object by kind, namespace and name; it is empty for one that isn't known.
func (w *Wanted) Tell(problems []model.Problem, uid func(kind, namespace, name string) types.UID) {
	for _, p := range problems {
		if versions[p.Kind] == "" || p.Kind != "Ingress" && p.Reason != "Conflict" {
			continue
		}
		if id := uid(p.Kind, p.Namespace, p.Name); id != "" {
			w.events = append(w.events, telling{p, id})
		}
	}
}

// told is what was made an Event of, and how often it came.
type told map[telling]*times

type times struct {
	count int32
	// over: it is mended, or its object is gone.
	over bool
	// seen: the Event is there.
	seen bool
}

// events makes an Event of each Problem that is new, once for as long as it lasts;
// a leader that was there before has told what it told. What comes back is counted.
func (c *Controller) events(ctx context.Context, w Wanted) error {
	if c.told == nil {
		c.told = told{}
	}
	now := map[telling]bool{}
	of := map[types.UID]int{}
	var failed error
	for _, k := range w.events {
		if now[k] || of[k.uid] == mostEvents {
			continue
		}
		now[k] = true
		of[k.uid]++
		if err := c.tellOnce(ctx, k); err != nil {
			failed = errors.Join(failed, fmt.Errorf("event of %s %s/%s: %w", k.Kind, k.Namespace, k.Name, err))
		}
	}
	for k, t := range c.told {
		t.over = t.over || !now[k]
	}
	c.forget()
	return failed
}

// mostRemembered are how many Problems that are over are remembered, to be counted
// when they come back.
const mostRemembered = 1000

func (c *Controller) forget() {
	for k, t := range c.told {
		if len(c.told) <= mostRemembered {
			return
		}
		if t.over {
			delete(c.told, k)
		}
	}
}

func (c *Controller) tellOnce(ctx context.Context, k telling) error {
	t := c.told[k]
	if t == nil {
		t = &times{}
		c.told[k] = t
	}
	if t.seen && !t.over {
		return nil
	}
	api := c.Kube.EventsV1().Events(k.Namespace)
	at := metav1.NewMicroTime(time.Now())
	_, err := api.Create(ctx, event(k, at), metav1.CreateOptions{})
	switch {
	case err == nil:
		t.count = 1
	case apierrors.IsAlreadyExists(err) && !t.over:
		t.count = max(t.count, 1)
	case apierrors.IsAlreadyExists(err):
		t.count++
		body, err := json.Marshal(map[string]any{"series": eventsv1.EventSeries{Count: t.count, LastObservedTime: at}})
		if err != nil {
			return err
		}
		if _, err := api.Patch(ctx, eventName(k), types.MergePatchType, body, metav1.PatchOptions{}); err != nil {
			t.count--
			return err
		}
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
	default:
		return err
	}
	t.seen, t.over = true, false
	return nil
}

func event(k telling, at metav1.MicroTime) *eventsv1.Event {
	note := k.Message
	if k.Field != "" {
		note = k.Field + ": " + note
	}
	return &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: k.Namespace, Name: eventName(k)},
		EventTime:           at,
		ReportingController: reporter,
		ReportingInstance:   reporter,
		Type:                corev1.EventTypeWarning,
		Reason:              k.Reason,
		Action:              "Translate",
		Note:                cut(note, maxNote),
		Regarding: corev1.ObjectReference{
			APIVersion: versions[k.Kind], Kind: k.Kind, Namespace: k.Namespace, Name: k.Name, UID: k.uid,
		},
	}
}

// eventName is the same for the same Problem of the same Ingress, so that nobody
// tells it twice.
func eventName(k telling) string {
	sum := fnv.New64a()
	for _, s := range []string{string(k.uid), k.Field, k.Reason, k.Message} {
		// A hash takes every byte.
		_, _ = fmt.Fprintf(sum, "%q", s)
	}
	suffix := fmt.Sprintf(".%016x", sum.Sum64())
	return cut(k.Name, maxName-len(suffix)) + suffix
}

// cut a text to a length, between its characters.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
