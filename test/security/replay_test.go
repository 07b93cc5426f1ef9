// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/isthmesh/isthmesh/test/security"
)

// TestReplays plays attacks of the past against a real Envoy. Each file in
// testdata/replays has policies, and requests as they go over the wire, with
// the status that each must get: a set such as 400|403 where Envoy may refuse
// by itself. Two policies in one file are asked one after the other.
func TestReplays(t *testing.T) { newWorld(t).replays(t) }

// TestReplaysAtIngress and TestReplaysAtEgress play the same at gateways.
func TestReplaysAtIngress(t *testing.T) { newGate(t, "ingress").replays(t) }

func TestReplaysAtEgress(t *testing.T) { newGate(t, "egress").replays(t) }

func (w *world) replays(t *testing.T) {
	t.Helper()
	files := mustGlob(t, "testdata/replays/*.txtar")
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(file[strings.LastIndex(file, "/")+1:], ".txtar")
		t.Run(name, func(t *testing.T) {
			for i := 0; i+1 < len(archive.Files); i += 2 {
				policies, calls := archive.Files[i], archive.Files[i+1]
				data := "-- " + policies.Name + " policies --\n" + string(policies.Data)
				scenarios, err := security.Read(name, []byte(data), w.replacer())
				if err != nil {
					t.Fatal(err)
				}
				w.apply(&scenarios[0])
				w.replay(t, policies.Name, string(calls.Data))
			}
		})
	}
}

// replay lines: status, port, caller, then the request line and headers as Go
// writes them in quotes, where \r\n parts lines.
func (w *world) replay(t *testing.T, name, text string) {
	t.Helper()
	asked := 0
	for _, line := range strings.Split(text, "\n") {
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.SplitN(line, " ", 4)
		if len(fields) < 3 {
			t.Fatalf("%s: %q has no status, port and caller", name, line)
		}
		want, port, caller := strings.Split(fields[0], "|"), fields[1], fields[2]
		request := ""
		if len(fields) == 4 {
			request = fields[3]
		}
		status, err := w.raw(port, caller, request)
		if err != nil {
			t.Errorf("%s: %s: %v", name, line, err)
			continue
		}
		asked++
		ok := false
		for _, s := range want {
			ok = ok || s == fmt.Sprint(status)
		}
		if !ok {
			t.Errorf("%s: got %d: %s", name, status, line)
		}
	}
	if asked == 0 {
		t.Errorf("%s: nothing was asked", name)
	}
}

// raw sends a request as it is written, over a connection of its own. Lines are
// parted by " | ", and ${token:name} is a token.
func (w *world) raw(port, caller, request string) (int, error) {
	if strings.HasPrefix(port, "tcp-") {
		return w.converse(security.Call{Port: port, Caller: caller})
	}
	for name, token := range w.tokens {
		request = strings.ReplaceAll(request, "${token:"+name+"}", token)
	}
	lines := strings.Split(request, " | ")
	first := strings.Fields(lines[0])
	if len(first) < 2 {
		return 0, fmt.Errorf("%q is no request line", lines[0])
	}
	host := "server"
	var headers []string
	for _, h := range lines[1:] {
		if name, value, _ := strings.Cut(h, ":"); strings.EqualFold(name, "host") {
			host = strings.TrimSpace(value)
		} else {
			headers = append(headers, h)
		}
	}
	conn, err := w.dial(security.Call{Port: port, Caller: caller})
	if err != nil {
		return security.Refused, unless(err)
	}
	defer func() { _ = conn.Close() }()
	text := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", first[0], strings.Join(first[1:], " "), host)
	for _, h := range headers {
		text += h + "\r\n"
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", text); err != nil {
		return security.Refused, unless(err)
	}
	answer, err := http.ReadResponse(conn.r, &http.Request{Method: first[0]})
	if err != nil {
		return security.Refused, unless(err)
	}
	defer func() { _ = answer.Body.Close() }()
	return answer.StatusCode, nil
}
