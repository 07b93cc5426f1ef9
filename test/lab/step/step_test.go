// SPDX-License-Identifier: Apache-2.0

package step

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLog(t *testing.T) {
	var out bytes.Buffer
	clock := time.Unix(0, 0)
	log := New(&out, func() time.Time { return clock })
	after := func(d time.Duration, err error) func() error {
		return func() error {
			clock = clock.Add(d)
			return err
		}
	}
	failed := errors.New("x")
	if err := log.Do("one", after(1500*time.Millisecond, nil)); err != nil {
		t.Error(err)
	}
	if err := log.Long("two", "minutes", after(125*time.Second, failed)); !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
	log.Note("a %d", 1)
	log.Warn("b")
	want := " ✓ one (1.5 s)\n • two: minutes\n ✗ two (2 min 5 s)\n • a 1\n ⚠ b\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}
