// SPDX-License-Identifier: Apache-2.0

package tasks_test

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestTasks runs each page of testdata. The parts of a page whose names end in
// .yaml are objects; the others are stories, told in lines:
//
//	apply PART...              these objects are there from now on
//	remove PART...             and these are gone
//	gateway NS/NAME PORT,...   a proxy is deployed for a Gateway of the Gateway API
//	secret NS/NAME HOST,... [ca|onlyca] a Secret has a certificate for hosts, and an authority
//	forget                     what "gateway" and "secret" made
//	problem KIND/NAME REASON   the next apply ends with this problem, too
//	call URL OPTION... => WANT...  a request is answered so (see call)
//	tcp ADDRESS OPTION... => WANT...   a line is answered so
//	seen APP HOST N            so many requests arrived since the last "seen"
//	stat POD NAME N            a counter of a proxy is N or more
//	name HOST ADDRESS          what the sidecar's DNS answers the caller
//	stop APP PORT; start APP PORT      the application ends, or is there again
//	within TIME call ...       the same until it is so
//
// Everything else that an apply ends with is a failure: a problem, or a proxy
// that refuses what it gets.
func TestTasks(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no pages in testdata: %v", err)
	}
	w := newWorld(t)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range archive.Files {
				if !strings.HasSuffix(f.Name, ".yaml") {
					t.Run(f.Name, func(t *testing.T) { tell(t, w, archive, string(f.Data)) })
				}
			}
		})
	}
}

// story is what a page has done so far.
type story struct {
	t     *testing.T
	w     *world
	parts map[string]string
	// names of the parts that are there, and the objects that lines made.
	applied []string
	made    []string
	// expected problems, as "Kind/name Reason".
	expected []string
}

func tell(t *testing.T, w *world, archive *txtar.Archive, text string) {
	s := &story{t: t, w: w, parts: map[string]string{}}
	for _, f := range archive.Files {
		s.parts[f.Name] = string(f.Data)
	}
	for _, a := range w.apps {
		a.arrived()
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := s.step(line); err != nil {
			t.Errorf("%s\n\t%v", line, err)
		}
	}
}

func (s *story) step(line string) error {
	words, err := split(line)
	if err != nil {
		return err
	}
	switch verb, rest := words[0], words[1:]; verb {
	case "apply", "remove":
		return s.apply(verb, rest)
	case "gateway":
		namespace, name, _ := strings.Cut(rest[0], "/")
		s.w.gateway(namespace, name)
		s.made = append(s.made, s.w.deployed(namespace, name, rest[1]))
	case "forget":
		s.made = nil
	case "secret":
		s.made = append(s.made, s.secret(rest))
	case "problem":
		s.expected = append(s.expected, strings.Join(rest, " "))
	case "call", "tcp":
		return s.call(verb, rest)
	case "within":
		patience, err := time.ParseDuration(rest[0])
		if err != nil {
			return err
		}
		for end := time.Now().Add(patience); ; {
			err := s.call(rest[1], rest[2:])
			if err == nil || time.Now().After(end) {
				return err
			}
		}
	case "seen":
		return s.seen(rest)
	case "name":
		if got := s.w.captured(rest[0]); got != rest[1] {
			return fmt.Errorf("it is %q", got)
		}
	case "stat":
		least, err := strconv.Atoi(rest[2])
		if err != nil {
			return err
		}
		// A proxy may count what it has answered a moment later.
		got := 0
		for end := time.Now().Add(time.Minute); time.Now().Before(end); wait(s.t.Context(), 20*time.Millisecond) {
			if got = s.w.proxies[rest[0]].Stat(rest[1]); got >= least {
				return nil
			}
		}
		return fmt.Errorf("it is %d", got)
	case "stop", "start":
		port, err := strconv.Atoi(rest[1])
		if err != nil {
			return err
		}
		if verb == "stop" {
			s.w.apps[rest[0]].stop(port)
			s.t.Cleanup(func() { s.w.apps[rest[0]].stop(port); s.w.apps[rest[0]].start(port) })
			return nil
		}
		s.w.apps[rest[0]].start(port)
	default:
		return fmt.Errorf("nothing is known about %q", verb)
	}
	return nil
}

// apply or remove parts.
func (s *story) apply(verb string, names []string) error {
	for _, name := range names {
		name += ".yaml"
		if s.parts[name] == "" {
			return fmt.Errorf("there is no part %s", name)
		}
		if verb == "remove" {
			s.applied = slices.DeleteFunc(s.applied, func(n string) bool { return n == name })
		} else {
			s.applied = append(s.applied, name)
		}
	}
	objects := slices.Clone(s.made)
	for _, name := range s.applied {
		objects = append(objects, s.parts[name])
	}
	return s.judge(s.w.apply(s.t, objects...))
}

// judge the problems of what was applied.
func (s *story) judge(problems []model.Problem) error {
	missing := s.expected
	s.expected = nil
	for _, p := range problems {
		said := fmt.Sprintf("%s/%s %s", p.Kind, p.Name, p.Reason)
		if i := slices.Index(missing, said); i >= 0 {
			missing = slices.Delete(slices.Clone(missing), i, i+1)
			continue
		}
		return fmt.Errorf("problem %s: field %s: %s", said, p.Field, p.Message)
	}
	if len(missing) > 0 {
		return fmt.Errorf("nobody told the problems %q", missing)
	}
	return nil
}

func (s *story) secret(words []string) string {
	namespace, name, _ := strings.Cut(words[0], "/")
	encoded := base64.StdEncoding.EncodeToString
	chain, key := s.w.public.Server(strings.Split(words[1], ",")...)
	data := fmt.Sprintf("{tls.crt: %s, tls.key: %s}", encoded(chain), encoded(key))
	switch {
	case slices.Contains(words, "onlyca"):
		data = fmt.Sprintf("{ca.crt: %s}", encoded(s.w.public.PEM()))
	case slices.Contains(words, "ca"):
		data = strings.TrimSuffix(data, "}") + fmt.Sprintf(", ca.crt: %s}", encoded(s.w.public.PEM()))
	}
	return fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: %s, namespace: %s}, data: %s}\n", name, namespace, data)
}

// seen compares what arrived: a number, or a range as 40..60.
func (s *story) seen(words []string) error {
	least, most, isRange := strings.Cut(words[2], "..")
	if !isRange {
		most = least
	}
	low, err := strconv.Atoi(least)
	if err != nil {
		return err
	}
	high, err := strconv.Atoi(most)
	if err != nil {
		return err
	}
	// Mirrored requests may still be on their way: until none came for a while.
	n, quiet := 0, time.Now()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); wait(s.t.Context(), 20*time.Millisecond) {
		if more := s.w.apps[words[0]].arrived()[words[1]]; more > 0 {
			n, quiet = n+more, time.Now()
		}
		if n >= low && time.Since(quiet) > 500*time.Millisecond {
			break
		}
	}
	if n < low || n > high {
		return fmt.Errorf("%d requests for %s arrived at %s", n, words[1], words[0])
	}
	return nil
}

// split a line into words; quotes keep blanks.
func split(line string) ([]string, error) {
	var words []string
	for rest := strings.TrimSpace(line); rest != ""; rest = strings.TrimSpace(rest) {
		end, quoted := 0, false
		for end < len(rest) && (quoted || rest[end] != ' ') {
			if rest[end] == '"' {
				quoted = !quoted
			}
			end++
		}
		if quoted {
			return nil, fmt.Errorf("a quote is not closed")
		}
		words = append(words, strings.ReplaceAll(rest[:end], `"`, ""))
		rest = rest[end:]
	}
	return words, nil
}
