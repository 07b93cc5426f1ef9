// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"
)

// shareOf calls are within three points of a hundred of what they are to be.
func shareOf(t *testing.T, got map[string]int, want map[string]float64) {
	t.Helper()
	total := 0
	for _, n := range got {
		total += n
	}
	for pod, percent := range want {
		if have := 100 * float64(got[pod]) / float64(total); math.Abs(have-percent) > 3 {
			t.Errorf("%s got %.1f %%, want %.0f %%: %v", pod, have, percent, got)
		}
	}
	if len(got) != len(want) {
		t.Errorf("answers of %v, want %v", got, want)
	}
}

// calls are so many that chance moves a half of them by 0.6 %: three points are five
// times that, which comes once in a million times.
const calls = 7000

// TestBalancers: who answers, under each load balancer.
func TestBalancers(t *testing.T) {
	y := newYard(t, "a", "b", "c", "d")
	all := []string{"10.244.1.1:8080", "10.244.1.2:8080", "10.244.1.3:8080", "10.244.1.4:8080"}
	balanced := func(how string) string { return "{loadBalancer: {" + how + "}}" }
	var lines, objects strings.Builder
	number := 0
	add := func(name, how string, endpoints ...string) {
		number++
		lines.WriteString(service(name, number, "8080/HTTP", endpoints...))
		objects.WriteString(rule(name, balanced(how)))
	}
	add("turns", "simple: ROUND_ROBIN", all...)
	add("random", "simple: RANDOM", all...)
	add("least", "simple: LEAST_REQUEST", all...)
	add("meant", "simple: PASSTHROUGH", all...)
	add("header", "consistentHash: {httpHeaderName: X-User, ringHash: {minimumRingSize: 5000}}", all...)
	add("query", "consistentHash: {httpQueryParameterName: user, maglev: {tableSize: 1009}}", all...)
	add("cookie", "consistentHash: {httpCookie: {name: user, path: /p, ttl: 60s}}", all...)
	add("source", "consistentHash: {useSourceIp: true}", all...)
	add("warm", "simple: ROUND_ROBIN, warmup: {duration: 6s, minimumPercent: 5}", all[:1]...)
	lines.WriteString(`
		service shop/shared vip=10.96.1.20 port=8080/HTTP
		endpoint shop/shared:8080 10.244.1.1:8080 plain zone=eu/eu-1
		endpoint shop/shared:8080 10.244.1.2:8080 plain zone=eu/eu-2
		endpoint shop/shared:8080 10.244.1.3:8080 plain zone=us/us-1
		endpoint shop/shared:8080 10.244.1.4:8080 plain zone=asia/asia-1
		service shop/bytes vip=10.96.1.21 port=7070/TCP
		endpoint shop/bytes:7070 10.244.1.1:7070 plain
		endpoint shop/bytes:7070 10.244.1.2:7070 plain
		`)
	objects.WriteString(rule("shared", balanced(`localityLbSetting: {distribute: [{from: eu/eu-1, to: {"eu/eu-1": 60, "eu/eu-2": 10, "us/*": 30}}]}`)))
	objects.WriteString(rule("bytes", balanced("consistentHash: {useSourceIp: true}")))
	greet(y.pods["a"].pod, 7070)
	greet(y.pods["b"].pod, 7070)
	y.push(lines.String(), objects.String())
	began := time.Now()

	quarters := map[string]float64{"a": 25, "b": 25, "c": 25, "d": 25}
	for service, want := range map[string]map[string]float64{
		"turns": quarters, "random": quarters, "least": quarters,
		"shared": {"a": 60, "b": 10, "c": 30},
	} {
		t.Run(service, func(t *testing.T) { shareOf(t, y.spread(service, calls), want) })
	}
	t.Run("LeastSparesTheSlow", func(t *testing.T) {
		// Slow by what the others do, however fast that is here: it answers when they have
		// answered two dozen more. While it has a call, both choices must fall on it for another
		// one, which is one in 16; with what it gets when it has none that makes 80 of 800.
		others := func() int64 {
			return y.pods["b"].requests.Load() + y.pods["c"].requests.Load() + y.pods["d"].requests.Load()
		}
		y.pods["a"].answers(func(http.ResponseWriter, *http.Request) {
			ticker := time.NewTicker(5 * time.Millisecond)
			defer ticker.Stop()
			for end, enough := time.Now().Add(time.Second), others()+24; others() < enough && time.Now().Before(end); {
				<-ticker.C
			}
		})
		defer y.pods["a"].answers(nil)
		if got := y.spread("least", 800); got["a"] > 130 {
			t.Errorf("the slow one got %d of 800 calls: %v", got["a"], got)
		}
	})
	t.Run("Passthrough", func(t *testing.T) {
		for i, pod := range []string{"a", "b", "c", "d"} {
			for range 10 {
				a := y.get("meant", func(r *http.Request) { r.URL.Host = all[i] })
				if a.pod != pod {
					t.Errorf("%s got what was meant for %s: %d", a.pod, pod, a.status)
				}
			}
		}
	})
	user := func(service string, n int) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("X-User", fmt.Sprintf("user-%d", n))
			r.URL.RawQuery = fmt.Sprintf("other=%p&user=user-%d", r, n)
			r.URL.Path = "/p"
			if service == "cookie" {
				r.AddCookie(&http.Cookie{Name: "user", Value: fmt.Sprintf("user-%d", n)})
			}
		}
	}
	for _, service := range []string{"header", "query", "cookie"} {
		t.Run("Sticky/"+service, func(t *testing.T) {
			pods := map[string]bool{}
			for n := range 40 {
				first := y.get(service, user(service, n)).pod
				pods[first] = true
				for range 3 {
					if again := y.get(service, user(service, n)).pod; again != first || first == "" {
						t.Errorf("user %d went to %q, then to %q", n, first, again)
					}
				}
			}
			if len(pods) != 4 {
				t.Errorf("40 users are on %v", pods)
			}
		})
	}
	t.Run("CookieIsMade", func(t *testing.T) {
		a := y.get("cookie")
		made, err := http.ParseSetCookie(a.header.Get("Set-Cookie"))
		if err != nil || made.Name != "user" || made.MaxAge != 60 || made.Path != "/p" || !made.HttpOnly {
			t.Fatalf("%v: %q", err, a.header.Get("Set-Cookie"))
		}
		for range 10 {
			if again := y.get("cookie", func(r *http.Request) { r.AddCookie(made) }); again.pod != a.pod || again.header.Get("Set-Cookie") != "" {
				t.Errorf("%q, then %q with %v", a.pod, again.pod, again.header)
			}
		}
	})
	t.Run("SourceIP", func(t *testing.T) {
		if got := y.seen("source", 40); len(got) != 1 {
			t.Errorf("one caller is on %v", got)
		}
		first := ""
		for range 10 {
			name := hello(t, y.caller, "10.96.1.21:7070")
			if first == "" {
				first = name
			}
			if name != first {
				t.Errorf("connections of one caller are with %s and %s", first, name)
			}
		}
	})
	t.Run("Sizes", func(t *testing.T) {
		if n := y.stat("header", "ring_hash_lb.size"); n < 5000 {
			t.Errorf("the ring has %d entries, want at least 5000", n)
		}
		if n := y.stat("query", "maglev_lb.min_entries_per_host"); n < 250 || n > 253 {
			t.Errorf("each of 4 has at least %d of the 1009 entries of the table", n)
		}
	})
	t.Run("UsersStayWhenOthersGo", func(t *testing.T) {
		before := map[int]string{}
		for n := range 100 {
			before[n] = y.get("header", user("header", n)).pod
		}
		y.push(strings.Replace(lines.String(), "endpoint shop/header:8080 10.244.1.4:8080 plain\n", "", 1), objects.String())
		others, stayed := 0, 0
		for n, pod := range before {
			now := y.get("header", user("header", n)).pod
			if now == "d" || now == "" {
				t.Errorf("user %d is on %q", n, now)
			}
			if pod != "d" {
				others++
				if now == pod {
					stayed++
				}
			}
		}
		// The three share the ring anew, which moves a few; without a ring two of three would move.
		if stayed*10 < others*6 {
			t.Errorf("%d of the %d users of those that are left stayed", stayed, others)
		}
	})
	t.Run("WarmUp", func(t *testing.T) {
		until(t, "the first endpoint is warm", func() bool { y.get("warm"); return time.Since(began) > 7*time.Second })
		// The proxy reckons from when it learns of the endpoint, which is after this.
		began := time.Now()
		y.push(lines.String()+"endpoint shop/warm:8080 10.244.1.2:8080 plain\n", objects.String())
		share := func() int { return y.spread("warm", 400)["b"] * 100 / 400 }
		first := share()
		if took := time.Since(began); first > 30 && took < 2*time.Second {
			t.Errorf("the new endpoint gets %d %% in the first %v", first, took)
		}
		half := time.Time{}
		until(t, "the new endpoint gets its half", func() bool {
			n := share()
			if n >= 35 && half.IsZero() {
				half = time.Now()
			}
			return n >= 46
		})
		// A third is reached when the weight is a half, three seconds of the six.
		if took := half.Sub(began); took < 2*time.Second {
			t.Errorf("it got more than a third after %v", took)
		}
	})
}
