// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	kubetesting "k8s.io/client-go/testing"

	"github.com/isthmesh/isthmesh/controlplane/ca"
)

// followed runs follow for the length of a test, and returns what it logs.
func followed(t *testing.T, a *authority) func() string {
	t.Helper()
	var mu sync.Mutex
	var lines []string
	log := funcr.New(func(_, args string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, args)
	}, funcr.Options{})
	ctx, cancel := context.WithCancel(logr.NewContext(context.Background(), log))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := a.follow(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("follow ended with %v", err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(lines, "\n")
	}
}

// patience is how long anything may take on a busy machine.
const patience = 90 * time.Second

// eventually polls until f returns "", and fails with what it said last.
func eventually(t *testing.T, f func() string) {
	t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for {
		last := f()
		if last == "" {
			return
		}
		select {
		case <-deadline:
			t.Fatal(last)
		case <-tick.C:
		}
	}
}

func (h *standIn) remove() {
	h.t.Helper()
	if err := h.kube.CoreV1().Secrets("istio-system").Delete(h.t.Context(), ca.CACertsSecret, metav1.DeleteOptions{}); err != nil {
		h.t.Fatal(err)
	}
}

// TestFollow: a cacerts that is deleted by hand, or by the hub, is enrolled for
// again, when there is a token; the signer in use stays until then. What is
// written there is put to use, unless it is of no use.
func TestFollow(t *testing.T) {
	h := newStandIn(t)
	h.write(ca.CACertsSecret, h.intermediate(0))
	h.enrolment("")
	a := h.authority(true)
	if err := a.once(t.Context()); err != nil {
		t.Fatal(err)
	}
	logged := followed(t, a)
	first := a.Signer()
	<-h.watched

	h.remove()
	eventually(t, func() string {
		if text := logged(); !strings.Contains(text, "the signer in use stays until then") || !strings.Contains(text, "has no token: the hub puts one there") {
			return "it doesn't say what it waits for: " + text
		}
		return ""
	})
	if a.Signer() != first {
		t.Fatal("the signer in use did not stay")
	}
	h.enrolment("t")
	eventually(t, func() string {
		if kept := h.kept(); kept == nil || a.Signer() == first || !a.Signer().Certificate().Equal(kept) {
			return "it did not enrol again: " + logged()
		}
		return ""
	})
	if n := h.enrolled.Load(); n != 1 {
		t.Errorf("enrolled %d times", n)
	}

	second := a.Signer()
	h.write(ca.CACertsSecret, map[string][]byte{"ca-cert.pem": []byte("x")})
	eventually(t, func() string {
		if text := logged(); !strings.Contains(text, "can't be used, the signer in use stays") || !strings.Contains(text, "kubectl delete secret cacerts -n istio-system") {
			return "it doesn't say what is wrong and what mends it: " + text
		}
		return ""
	})
	if a.Signer() != second {
		t.Error("the signer in use did not stay")
	}

	mended := h.intermediate(0)
	h.write(ca.CACertsSecret, mended)
	eventually(t, func() string {
		if kept := h.kept(); kept == nil || !a.Signer().Certificate().Equal(kept) {
			return "what was written is not in use: " + logged()
		}
		return ""
	})
}

// TestFollowMissedDeletion: the Secret went before anybody watched it.
func TestFollowMissedDeletion(t *testing.T) {
	h := newStandIn(t)
	h.write(ca.CACertsSecret, h.intermediate(0))
	h.enrolment("t")
	a := h.authority(true)
	if err := a.once(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.remove()
	// As the real API server does: only cacerts is listed, and it is gone.
	h.kube.PrependReactor("list", "secrets", func(kubetesting.Action) (bool, runtime.Object, error) {
		return true, &corev1.SecretList{}, nil
	})
	h.kube.PrependWatchReactor("secrets", func(kubetesting.Action) (bool, watch.Interface, error) {
		return true, watch.NewRaceFreeFake(), nil
	})
	logged := followed(t, a)
	eventually(t, func() string {
		if h.enrolled.Load() != 1 || h.kept() == nil {
			return "it did not enrol again: " + logged()
		}
		return ""
	})
}

// TestRenewDue: an intermediate that is due is renewed and saved, also over a
// cacerts that somebody spoilt; one that expired is enrolled for again.
func TestRenewDue(t *testing.T) {
	malformed := func(h *standIn) { h.write(ca.CACertsSecret, map[string][]byte{"ca-cert.pem": []byte("x")}) }
	cases := map[string]struct {
		age               time.Duration
		before            func(*standIn)
		renewed, enrolled int32
	}{
		"NotDue":       {age: time.Hour},
		"Due":          {age: 300 * 24 * time.Hour, renewed: 1},
		"DueMalformed": {age: 300 * 24 * time.Hour, before: malformed, renewed: 1},
		"DueGone":      {age: 300 * 24 * time.Hour, before: (*standIn).remove, renewed: 1},
		"Expired":      {age: time.Hour, before: func(h *standIn) { h.later.Store(int64(year)) }, enrolled: 1},
		"OtherFirst":   {age: 300 * 24 * time.Hour, before: func(h *standIn) { h.write(ca.CACertsSecret, h.intermediate(0)) }},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := newStandIn(t)
			h.write(ca.CACertsSecret, h.intermediate(c.age))
			h.enrolment("t")
			a := h.authority(true)
			if err := a.once(t.Context()); err != nil {
				t.Fatal(err)
			}
			own := a.ServerCertificate([]string{"istiod.istio-system.svc"})
			if c.before != nil {
				c.before(h)
			}
			unsaved, err := a.renewDue(t.Context(), own, nil)
			if err != nil || unsaved != nil {
				t.Fatalf("error %v, unsaved %v", err, unsaved)
			}
			if h.renewed.Load() != c.renewed || h.enrolled.Load() != c.enrolled {
				t.Errorf("renewed %d times, enrolled %d times", h.renewed.Load(), h.enrolled.Load())
			}
			if kept := h.kept(); kept == nil || !kept.Equal(a.Signer().Certificate()) {
				t.Error("the signer in use is not the one in cacerts")
			}
		})
	}
}

// TestRenewedIsSaved: a renewed intermediate is in use at once, and is written
// down when the API server is back; without asking the hub another time.
func TestRenewedIsSaved(t *testing.T) {
	h := newStandIn(t)
	h.write(ca.CACertsSecret, h.intermediate(300*24*time.Hour))
	h.enrolment("")
	a := h.authority(true)
	if err := a.once(t.Context()); err != nil {
		t.Fatal(err)
	}
	own := a.ServerCertificate([]string{"istiod.istio-system.svc"})
	refuse := true
	h.kube.PrependReactor("update", "secrets", func(kubetesting.Action) (bool, runtime.Object, error) {
		return refuse, nil, errors.New("the API server is away")
	})
	unsaved, err := a.renewDue(t.Context(), own, nil)
	if err == nil || unsaved == nil || a.Signer() != unsaved {
		t.Fatalf("error %v, unsaved %v", err, unsaved)
	}
	refuse = false
	if unsaved, err = a.renewDue(t.Context(), own, unsaved); err != nil || unsaved != nil {
		t.Fatalf("error %v, unsaved %v", err, unsaved)
	}
	if h.renewed.Load() != 1 || !h.kept().Equal(a.Signer().Certificate()) {
		t.Errorf("renewed %d times; the signer in use is not the one in cacerts", h.renewed.Load())
	}
}
