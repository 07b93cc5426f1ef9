// SPDX-License-Identifier: Apache-2.0

// Package step prints what the lab is doing: one line per step when it ends,
// with the time it took. Everything that takes time goes through it.
package step

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Log prints steps. Steps of several clusters may run at the same time.
type Log struct {
	mu  sync.Mutex
	out io.Writer
	now func() time.Time
}

// New returns a Log that writes to out and takes the time from now.
func New(out io.Writer, now func() time.Time) *Log {
	return &Log{out: out, now: now}
}

// Do runs f, then prints what it was and how long it took. It returns f's error.
func (l *Log) Do(what string, f func() error) error {
	begin := l.now()
	err := f()
	took := l.now().Sub(begin)
	mark := "✓"
	if err != nil {
		mark = "✗"
	}
	l.print(" %s %s (%s)\n", mark, what, short(took))
	return err
}

// Long is Do for a step that may take minutes: it says so before it starts.
func (l *Log) Long(what, hint string, f func() error) error {
	l.print(" • %s: %s\n", what, hint)
	return l.Do(what, f)
}

// Note prints one line that is not a step.
func (l *Log) Note(format string, args ...any) {
	l.print(" • "+format+"\n", args...)
}

// Warn prints one line that the reader should act on.
func (l *Log) Warn(format string, args ...any) {
	l.print(" ⚠ "+format+"\n", args...)
}

func (l *Log) print(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.out, format, args...)
}

func short(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
}
