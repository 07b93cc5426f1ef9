// SPDX-License-Identifier: Apache-2.0

package security_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/isthmesh/isthmesh/test/security"
)

// TestReplays plays attacks of the past against a real Envoy. Each file in
// testdata/replays has policies, and calls: requests as they go over the wire, with
// the status that each must get, a set such as 400|403 where Envoy may refuse
// by itself. Then come parts "without" a defence: what some of the calls get when
// it is taken out of the proxy's configuration. A replay that stays as it is
// then tells nothing of the defence.
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
			var scenario *security.Scenario
			var defended []replayed
			proven := false
			for _, part := range archive.Files {
				what, defences, _ := strings.Cut(part.Name, " ")
				switch what {
				case "calls":
					defended = replaysOf(t, string(part.Data))
					w.apply(scenario)
					w.replay(t, scenario.Name, defended)
				case "without":
					w.without = strings.Fields(defences)
					w.apply(scenario)
					open := replaysOf(t, string(part.Data))
					w.replay(t, scenario.Name+" without "+defences, open)
					proven = true
					if !differ(t, defended, open) {
						t.Errorf("%s: nothing is another without %s", scenario.Name, defences)
					}
					w.without = nil
				default:
					data := "-- " + part.Name + " policies --\n" + string(part.Data)
					scenarios, err := security.Read(name, []byte(data), w.replacer())
					if err != nil {
						t.Fatal(err)
					}
					scenario = &scenarios[0]
				}
			}
			if !proven && !slices.Contains(envoysOwn, name) {
				t.Errorf("no part says what this replay gets without a defence")
			}
		})
	}
}

// envoysOwn are replays whose defence is Envoy's, and can't be configured away.
var envoysOwn = []string{"b04-fragments"}

// replayed is one line of a replay: the statuses that it may get, port, caller,
// then the request line and headers, parted by " | ".
type replayed struct{ status, port, caller, request string }

func replaysOf(t *testing.T, text string) []replayed {
	t.Helper()
	var out []replayed
	for _, line := range strings.Split(text, "\n") {
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := append(strings.SplitN(line, " ", 4), "")
		if len(fields) < 4 {
			t.Fatalf("%q has no status, port and caller", line)
		}
		out = append(out, replayed{fields[0], fields[1], fields[2], fields[3]})
	}
	if len(out) == 0 {
		t.Error("nothing is asked")
	}
	return out
}

// differ is true when a call gets what it never gets with the defence. All
// calls must be among those that are asked with it.
func differ(t *testing.T, defended, open []replayed) bool {
	t.Helper()
	other := false
	for _, o := range open {
		i := slices.IndexFunc(defended, func(d replayed) bool {
			d.status = o.status
			return d == o
		})
		if i < 0 {
			t.Fatalf("%v is not asked with the defence", o)
		}
		other = other || !slices.ContainsFunc(strings.Split(o.status, "|"), func(s string) bool {
			return slices.Contains(strings.Split(defended[i].status, "|"), s)
		})
	}
	return other
}

func (w *world) replay(t *testing.T, name string, lines []replayed) {
	t.Helper()
	for _, l := range lines {
		status, err := w.raw(l.port, l.caller, l.request)
		if err != nil {
			t.Errorf("%s: %v: %v", name, l, err)
			continue
		}
		if !slices.Contains(strings.Split(l.status, "|"), strconv.Itoa(status)) {
			t.Errorf("%s: got %d: %v", name, status, l)
		}
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
