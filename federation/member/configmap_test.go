// SPDX-License-Identifier: Apache-2.0

package member

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"pgregory.net/rapid"

	_ "github.com/isthmesh/isthmesh/test/fixedseed" // the same draws in every run
)

// api keeps ConfigMaps as an API server does, and fails after as many writes as
// crash says.
type api struct {
	objects map[string]corev1.ConfigMap
	writes  int
	crash   int // writes until then; negative for never
}

var (
	resource = schema.GroupResource{Resource: "configmaps"}
	errCrash = errors.New("crash")
)

func newAPI() *api { return &api{objects: map[string]corev1.ConfigMap{}, crash: -1} }

func (a *api) write(c *corev1.ConfigMap) (*corev1.ConfigMap, error) {
	if a.crash == 0 {
		return nil, errCrash
	}
	a.crash--
	if n := len(c.BinaryData[importsKey]); n > 1<<20 {
		return nil, fmt.Errorf("%d bytes are too much for one object", n)
	}
	a.writes++
	a.objects[c.Name] = *c.DeepCopy()
	return c, nil
}

func (a *api) List(context.Context, metav1.ListOptions) (*corev1.ConfigMapList, error) {
	out := &corev1.ConfigMapList{}
	for _, name := range slices.Sorted(maps.Keys(a.objects)) {
		c := a.objects[name]
		out.Items = append(out.Items, *c.DeepCopy())
	}
	return out, nil
}

func (a *api) Create(_ context.Context, c *corev1.ConfigMap, _ metav1.CreateOptions) (*corev1.ConfigMap, error) {
	if _, ok := a.objects[c.Name]; ok {
		return nil, apierrors.NewAlreadyExists(resource, c.Name)
	}
	return a.write(c)
}

func (a *api) Delete(_ context.Context, name string, _ metav1.DeleteOptions) error {
	if a.crash == 0 {
		return errCrash
	}
	a.crash--
	if _, ok := a.objects[name]; !ok {
		return apierrors.NewNotFound(resource, name)
	}
	delete(a.objects, name)
	return nil
}

// noise does not pack, so that it takes as many chunks as it has bytes for.
func noise(seed uint64, n int) []byte {
	r := rand.NewPCG(seed, 1)
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(r.Uint64())
	}
	return out
}

// TestStoreCrash: whichever write a crash cuts off, Load gives the snapshot
// before or the new one, whole.
func TestStoreCrash(t *testing.T) {
	for crash := range 12 {
		a := newAPI()
		s := &ConfigMapStore{api: a, chunk: 100}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		long, before, after := noise(1, 700), noise(2, 250), noise(3, 420)
		must(s.Save(t.Context(), long))
		must(s.Save(t.Context(), before))
		a.crash = crash
		err := s.Save(t.Context(), after)
		a.crash = -1
		got, loadErr := s.Load(t.Context())
		must(loadErr)
		if want := map[bool][]byte{true: after, false: before}[err == nil]; !bytes.Equal(got, want) && !bytes.Equal(got, after) {
			t.Errorf("a crash at write %d (%v) left something else than before or after", crash, err)
		}
		must(s.Save(t.Context(), after))
		if got, _ := s.Load(t.Context()); !bytes.Equal(got, after) {
			t.Errorf("after a crash at write %d the next Save did not mend it", crash)
		}
		if n := len(a.objects); n != 5 {
			t.Errorf("after a crash at write %d and a Save that went well there are %d ConfigMaps, want 5", crash, n)
		}
	}
}

// TestStoreReplicas: replicas that save at the same time, interleaved in any
// way and cut off anywhere, always leave something that can be read, and what
// one of them saved is never lost to the other's attempt.
func TestStoreReplicas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := newAPI()
		first := &ConfigMapStore{api: a, chunk: 100}
		if err := first.Save(context.Background(), noise(0, 300)); err != nil {
			t.Fatal(err)
		}
		last := string(noise(0, 300))
		for round := range rapid.IntRange(1, 6).Draw(t, "rounds") {
			one, other := noise(uint64(round*2+1), rapid.IntRange(1, 600).Draw(t, "one")), noise(uint64(round*2+2), rapid.IntRange(1, 600).Draw(t, "other"))
			otherSaved := false
			// The other replica saves in the middle of the first one's Save.
			between := &interrupted{api: a, at: rapid.IntRange(0, 8).Draw(t, "at"), call: func() {
				a.crash = rapid.IntRange(-1, 6).Draw(t, "crash")
				otherSaved = (&ConfigMapStore{api: a, chunk: 100}).Save(context.Background(), other) == nil
				a.crash = -1
			}}
			err := (&ConfigMapStore{api: between, chunk: 100}).Save(context.Background(), one)
			got, loadErr := first.Load(context.Background())
			switch {
			case loadErr != nil:
				t.Fatalf("nothing can be read: %v", loadErr)
			case string(got) == string(one), string(got) == string(other):
			case string(got) == last && err != nil && !otherSaved:
			default:
				t.Fatalf("neither replica's snapshot can be read, though saving gave %v and %t", err, otherSaved)
			}
			last = string(got)
		}
	})
}

// interrupted lets something happen before its write number at.
type interrupted struct {
	*api
	at   int
	call func()
}

func (i *interrupted) tick() {
	if i.at == 0 {
		i.call()
	}
	i.at--
}

func (i *interrupted) Create(ctx context.Context, c *corev1.ConfigMap, o metav1.CreateOptions) (*corev1.ConfigMap, error) {
	i.tick()
	return i.api.Create(ctx, c, o)
}

func (i *interrupted) Delete(ctx context.Context, name string, o metav1.DeleteOptions) error {
	i.tick()
	return i.api.Delete(ctx, name, o)
}

// TestStore: nothing, something big, the same again, and something spoiled.
func TestStore(t *testing.T) {
	a := newAPI()
	s := NewConfigMapStore(a)
	if b, err := s.Load(t.Context()); b != nil || err != nil {
		t.Errorf("an empty store gave %d bytes and %v, want nothing", len(b), err)
	}
	big := noise(1, 3_000_000)
	if err := s.Save(t.Context(), big); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load(t.Context()); err != nil || !bytes.Equal(got, big) {
		t.Fatalf("read %d bytes (%v), want what was saved", len(got), err)
	}
	writes := a.writes
	if err := s.Save(t.Context(), big); err != nil || a.writes != writes {
		t.Errorf("what is there already was written again (%v)", err)
	}
	for name, c := range a.objects {
		c.BinaryData[importsKey][20] ^= 0xff
		a.objects[name] = c
	}
	if b, err := s.Load(t.Context()); err == nil {
		t.Errorf("a spoiled store gave %d bytes without an error", len(b))
	}
	if err := s.Save(t.Context(), noise(2, 10)); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load(t.Context()); err != nil || !bytes.Equal(got, noise(2, 10)) {
		t.Errorf("a spoiled store was not mended by the next Save: %v", err)
	}
}
