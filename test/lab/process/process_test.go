// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const rest = " S 1 2 3 0 -1 4 5 6 7 8 9 10 11 12 20 0 1 0 12345 22 33"
	for name, stat := range map[string]string{
		"Plain":    "7 (sleep)" + rest,
		"Blank":    "7 (a b)" + rest,
		"Brackets": "7 (a) Z (b)" + rest,
	} {
		t.Run(name, func(t *testing.T) {
			state, start, err := parseStat(stat)
			if err != nil || state != "S" || start != 12345 {
				t.Errorf("got %q, %d, %v", state, start, err)
			}
		})
	}
	for _, stat := range []string{"", "7 (sleep) S 1", "7 (x" + rest} {
		if _, _, err := parseStat(stat); err == nil {
			t.Errorf("no error for %q", stat)
		}
	}
}

func sleeper(t *testing.T) Identity {
	t.Helper()
	id, err := Start(filepath.Join(t.TempDir(), "log"), "sleep", "600")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = id.Kill(context.Background()) })
	return id
}

func TestKill(t *testing.T) {
	id := sleeper(t)
	if !id.Alive() {
		t.Fatal("it should run")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := id.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	if id.Alive() {
		t.Error("it still runs")
	}
	if err := id.Kill(ctx); err != nil {
		t.Errorf("ended already: %v", err)
	}
}

// A process that has got the id of a recorded one is another process.
func TestKillSparesOthers(t *testing.T) {
	id := sleeper(t)
	for name, other := range map[string]Identity{
		"OtherStart": {PID: id.PID, Start: id.Start - 1, Boot: id.Boot},
		"OtherBoot":  {PID: id.PID, Start: id.Start, Boot: "x"},
	} {
		t.Run(name, func(t *testing.T) {
			if other.Alive() {
				t.Error("taken for the recorded process")
			}
			if err := other.Kill(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !id.Alive() {
				t.Error("killed")
			}
		})
	}
}

func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no record: %v", err)
	}
	id := Identity{PID: 7, Start: 8, Boot: "b"}
	if err := id.Write(path); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(path); err != nil || got != id {
		t.Errorf("got %v, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("unreadable record: %v", err)
	}
}

func TestGone(t *testing.T) {
	if _, err := Of(1 << 30); !errors.Is(err, ErrGone) {
		t.Errorf("got %v", err)
	}
}
