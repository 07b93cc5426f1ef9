// SPDX-License-Identifier: Apache-2.0

package tasks_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// app is one version of every application that the pages call: the services of
// Bookinfo, httpbin, helloworld, tcp-echo and nginx. It says which version it is
// and what it saw of a request.
type app struct {
	w    *world
	name string
	pod  *rig.Pod
	mu   sync.Mutex
	// seen are the hosts of the requests that arrived.
	seen map[string]int
	// web are its HTTP listeners by port.
	web map[int]*http.Server
}

// The ports of the containers.
var webPorts = []int{80, 5000, 8080, 8081, 9080}

func newApp(w *world, name string) *app {
	a := &app{w: w, name: name, pod: w.pods[name], seen: map[string]int{}, web: map[int]*http.Server{}}
	for _, port := range webPorts {
		a.start(port)
	}
	word := map[string]string{"v1": "one", "v2": "two"}[name]
	for _, port := range []int{9000, 9001} {
		echo(a.pod, port, word)
	}
	serve(tls.NewListener(a.pod.Listen("0.0.0.0:8443"), &tls.Config{Certificates: []tls.Certificate{w.public.Pair("nginx.example.com")}}), http.HandlerFunc(a.answer)) //nolint:gosec // as it comes
	return a
}

func (a *app) start(port int) {
	a.web[port] = serve(a.pod.Listen(fmt.Sprintf("0.0.0.0:%d", port)), http.HandlerFunc(a.answer))
}

func (a *app) stop(port int) { _ = a.web[port].Close() }

func serve(l net.Listener, h http.Handler) *http.Server {
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = s.Serve(l) }()
	return s
}

// echo says a word before what it is told.
func echo(p *rig.Pod, port int, word string) {
	l := p.Listen(fmt.Sprintf("0.0.0.0:%d", port))
	go accept(l, func(c net.Conn) {
		defer func() { _ = c.Close() }()
		if line, err := bufio.NewReader(c).ReadString('\n'); err == nil {
			_, _ = io.WriteString(c, word+" "+line)
		}
	})
}

func (a *app) answer(rw http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.seen[r.Host]++
	a.mu.Unlock()
	status := http.StatusOK
	verb, rest, _ := strings.Cut(strings.Trim(r.URL.Path, "/"), "/")
	var more string
	switch verb {
	case "status":
		status, _ = strconv.Atoi(rest)
	case "delay":
		seconds, _ := strconv.ParseFloat(rest, 64)
		wait(r.Context(), time.Duration(seconds*float64(time.Second)))
	case "reviews":
		if a.name != "v1" {
			_, more = a.ask(r, "http://ratings:9080/ratings/0", time.Minute)
		}
	case "productpage":
		// It gives reviews three seconds, twice.
		for range 2 {
			var code int
			if code, more = a.ask(r, "http://reviews:9080/reviews/0", 3*time.Second); code == http.StatusOK {
				break
			}
			more = "reviews are unavailable\n"
		}
	}
	rw.WriteHeader(status)
	_, _ = io.WriteString(rw, "version="+a.name+"\n"+a.w.told(r)+more)
}

// ask another service, as the application in the pod does.
func (a *app) ask(r *http.Request, url string, patience time.Duration) (int, string) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	to, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err.Error()
	}
	to.Header.Set("end-user", r.Header.Get("end-user"))
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: a.w.dialer(a.pod, nil)}}
	answer, err := c.Do(to)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	b, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, fmt.Sprintf("%s answers %d: %s", to.URL.Hostname(), answer.StatusCode, b)
}

// told is what a server saw of a request.
func (w *world) told(r *http.Request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "host=%s path=%s protocol=%s client=%s tls=%v\n", r.Host, r.URL.Path, r.Proto, w.nameOf(r.RemoteAddr), r.TLS != nil)
	if r.TLS != nil {
		fmt.Fprintf(&b, "sni=%s certificates=%d\n", r.TLS.ServerName, len(r.TLS.PeerCertificates))
	}
	for _, k := range slices.Sorted(maps.Keys(r.Header)) {
		fmt.Fprintf(&b, "header %s=%s\n", k, strings.Join(r.Header.Values(k), ","))
	}
	return b.String()
}

// nameOf the pod at an address.
func (w *world) nameOf(address string) string {
	host, _, _ := net.SplitHostPort(address)
	for name, p := range w.pods {
		if p.Address.String() == host {
			return name
		}
	}
	return host
}

// arrived are the requests that came since it was last asked, by host.
func (a *app) arrived() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := a.seen
	a.seen = map[string]int{}
	return seen
}

func wait(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}

// accept connections until the listener is closed.
func accept(l net.Listener, do func(net.Conn)) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			go do(c)
		}
	}
}
