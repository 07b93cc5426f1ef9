// SPDX-License-Identifier: Apache-2.0

package readiness_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

func port(a net.Addr) uint16 { return netip.MustParseAddrPort(a.String()).Port() }

// application answers as the paths say.
func application() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNotFound) })
	mux.HandleFunc("/{$}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.PathValue("code"))
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "so it is\xff\n")
	})
	// What is asked with is the answer, if it is not as the query wants it.
	mux.HandleFunc("/said", func(w http.ResponseWriter, r *http.Request) {
		from, _ := netip.ParseAddrPort(r.RemoteAddr)
		said := fmt.Sprintf("%s %s host=%s agent=%s accept=%s x=%v from=%s", r.Method, r.URL.Path, r.Host, r.UserAgent(), r.Header.Get("Accept"), r.Header["X"], from.Addr())
		if want := r.URL.Query().Get("want"); said != want {
			http.Error(w, "said "+said, http.StatusTeapot)
		}
	})
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	return mux
}

func TestAsk(t *testing.T) {
	plain := httptest.NewServer(application())
	t.Cleanup(plain.Close)
	secure := httptest.NewTLSServer(application())
	t.Cleanup(secure.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	checks := health.NewServer()
	checks.SetServingStatus("up", healthv1.HealthCheckResponse_SERVING)
	checks.SetServingStatus("down", healthv1.HealthCheckResponse_NOT_SERVING)
	server := grpc.NewServer()
	healthv1.RegisterHealthServer(server, checks)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	http1, https, serving := port(plain.Listener.Addr()), port(secure.Listener.Addr()), port(listener.Addr())
	const nobody = 1 // one that was free a moment ago may be somebody's by now
	get := func(port uint16, more string) string { return fmt.Sprintf(`{"httpGet":{"port":%d%s}}`, port, more) }
	said := func(more, format string, args ...any) string {
		path, _ := json.Marshal("/said?want=" + strings.ReplaceAll(fmt.Sprintf(format, args...), " ", "%20"))
		return get(http1, fmt.Sprintf(`,"path":%s%s`, path, more))
	}
	cases := map[string]struct {
		probe string
		// err is a part of it; empty for none.
		err string
	}{
		"HTTP":          {get(http1, ""), ""},
		"Path":          {get(http1, `,"path":"/elsewhere"`), "answers 404"},
		"Redirected":    {get(http1, `,"path":"/status/302"`), ""},
		"LastGood":      {get(http1, `,"path":"/status/399"`), ""},
		"FirstBad":      {get(http1, `,"path":"/status/400"`), "answers 400: so it is?"},
		"Unavailable":   {get(http1, `,"path":"/status/503"`), "answers 503"},
		"HTTPS":         {get(https, `,"scheme":"HTTPS"`), ""},
		"LowerCase":     {get(https, `,"scheme":"https","path":"/status/204"`), ""},
		"HTTPSRefused":  {get(http1, `,"scheme":"HTTPS"`), "HTTP response to HTTPS client"},
		"Host":          {get(http1, `,"host":"localhost"`), ""},
		"HostElsewhere": {get(http1, `,"host":"127.0.0.9"`), "refused"},
		"AsItIs":        {said("", "GET /said host=127.0.0.1:%d agent=isthmesh-probe/1.0 accept=*/* x=[] from=127.0.0.6", http1), ""},
		"Headers": {
			said(`,"httpHeaders":[{"name":"Host","value":"reviews"},{"name":"x","value":"1"},{"name":"X","value":"2"},{"name":"user-agent","value":"mine"}]`,
				"GET /said host=reviews agent=mine accept=*/* x=[1 2] from=127.0.0.6"), "",
		},
		"TCP":          {fmt.Sprintf(`{"tcpSocket":{"port":%d}}`, http1), ""},
		"TCPHost":      {fmt.Sprintf(`{"tcpSocket":{"port":%d,"host":"localhost"}}`, http1), ""},
		"NobodyThere":  {fmt.Sprintf(`{"tcpSocket":{"port":%d}}`, nobody), "refused"},
		"GRPC":         {fmt.Sprintf(`{"grpc":{"port":%d,"service":"up"}}`, serving), ""},
		"GRPCServer":   {fmt.Sprintf(`{"grpc":{"port":%d}}`, serving), ""},
		"GRPCDown":     {fmt.Sprintf(`{"grpc":{"port":%d,"service":"down"}}`, serving), `"down" is NOT_SERVING`},
		"GRPCUnknown":  {fmt.Sprintf(`{"grpc":{"port":%d,"service":"other"}}`, serving), "unknown service"},
		"GRPCRefused":  {fmt.Sprintf(`{"grpc":{"port":%d}}`, nobody), "refused"},
		"Exec":         {`{"exec":{"command":["true"]}}`, ""},
		"ExecFails":    {`{"exec":{"command":["sh","-c","echo because >&2; exit 3"]}}`, "exit status 3: because"},
		"ExecNotThere": {`{"exec":{"command":["/nowhere/check"]}}`, "/nowhere/check: no such file"},
		"ExecSaysMuch": {`{"exec":{"command":["sh","-c","head -c 10000000 /dev/zero | tr '\\0' x; exit 1"]}}`, "exit status 1: " + strings.Repeat("x", 200)},
		"ExecArgument": {`{"exec":{"command":["test","a b","=","a b"]}}`, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p, err := parse(t, c.probe)
			if err != nil {
				t.Fatal(err)
			}
			err = p.Ask(t.Context())
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if err != nil && len(err.Error()) > 500 {
				t.Errorf("%d bytes of error", len(err.Error()))
			}
		})
	}
}

// TestAskEndsInTime: who doesn't answer is left alone when the time is over.
func TestAskEndsInTime(t *testing.T) {
	asked := make(chan struct{}, 1)
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- struct{}{}; <-r.Context().Done() }))
	t.Cleanup(slow.Close)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	gone := make(chan struct{})
	go func() {
		// A server that takes the connection and says nothing; it sees who hangs up.
		defer close(gone)
		conn, err := silent.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		asked <- struct{}{}
		_, _ = io.Copy(io.Discard, conn)
	}()
	for name, text := range map[string]string{
		"HTTP": fmt.Sprintf(`{"httpGet":{"port":%d}}`, port(slow.Listener.Addr())),
		"GRPC": fmt.Sprintf(`{"grpc":{"port":%d}}`, port(silent.Addr())),
	} {
		t.Run(name, func(t *testing.T) {
			p, err := parse(t, text)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-asked; cancel() }()
			if err := p.Ask(ctx); err == nil {
				t.Error("no answer is taken for one")
			}
		})
	}
	<-gone // the connection isn't kept
}

// TestExecIsKilled: the command that takes too long goes with all that it started, long
// before that would end by itself.
func TestExecIsKilled(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	script := `sleep 1000 & echo $$ $! >"$0.new"; mv "$0.new" "$0"; wait`
	command, _ := json.Marshal([]string{"sh", "-c", script, pids})
	p, err := parse(t, fmt.Sprintf(`{"exec":{"command":%s}}`, command))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Ask(ctx) }()
	var shell, child int
	until(t, "the command runs", func() bool {
		text, err := os.ReadFile(pids)
		if err != nil {
			return false
		}
		_, err = fmt.Sscan(string(text), &shell, &child)
		return err == nil
	})
	cancel()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "was killed") {
		t.Errorf("error %v", err)
	}
	for _, pid := range []int{shell, child} {
		until(t, "the process is gone", func() bool { return gone(pid) })
	}
}

// TestExecLeavesOthersTheOutput: a process that the command leaves behind keeps
// its output open, and nobody waits for it.
func TestExecLeavesOthersTheOutput(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	command, _ := json.Marshal([]string{"sh", "-c", `sleep 60 & echo $! >"$0"`, pids})
	p, err := parse(t, fmt.Sprintf(`{"exec":{"command":%s}}`, command))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Ask(t.Context()) }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("error %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the probe waits for it")
	}
	text, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if gone(pid) {
		t.Error("the probe killed it")
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

// gone also says yes to a process that only waits for whoever it was left to.
func gone(pid int) bool {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) { return f(), nil })
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
