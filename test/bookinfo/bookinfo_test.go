// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// store is the whole bookstore; what is set before open differs from version 1.
type store struct {
	details details
	reviews reviews
	ratings *ratings
	// behind is put in front of reviews.
	behind func(http.Handler) http.Handler
	flood  int
	base   string
}

func (s *store) open(t *testing.T) *http.Client {
	t.Helper()
	serve := func(h http.Handler) string {
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		return server.URL
	}
	if s.ratings == nil {
		s.ratings = &ratings{}
	}
	ratingsURL := serve(s.ratings.handler())
	if s.reviews.color != "" {
		s.reviews.ratings, s.reviews.patience = ratingsURL, time.Minute
	}
	s.reviews.podName, s.reviews.log = "pod", io.Discard
	if s.reviews.clusterName == "" {
		s.reviews.clusterName = "null"
	}
	handler := s.reviews.handler()
	if s.behind != nil {
		handler = s.behind(handler)
	}
	page := newProductpage(serve(s.details.handler()), serve(handler), ratingsURL)
	page.patience, page.flood = time.Minute, s.flood
	s.base = serve(page.handler())
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

func ask(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// What people look for in the page, in each version and when something is gone.
func TestPage(t *testing.T) {
	gone := func(http.Handler) http.Handler { return http.NotFoundHandler() }
	for name, c := range map[string]struct {
		store     store
		want, not []string
	}{
		"Version1": {store{}, []string{"<title>Simple Bookstore App</title>", "Book Details", "1234567890", "Book Reviews", "Reviews served by: pod"}, []string{"glyphicon-star", "<font", "on cluster"}},
		"Version2": {store{reviews: reviews{color: "black"}}, []string{`<font color="black"`, "glyphicon-star", "text-black-500"}, []string{"red-500"}},
		"Version3": {store{reviews: reviews{color: "red"}}, []string{`<font color="red"`, "text-red-500"}, []string{"black-500"}},
		"Cluster":  {store{reviews: reviews{clusterName: "east"}}, []string{"on cluster east"}, nil},
		"NoRatings": {
			store{reviews: reviews{color: "black"}, ratings: &ratings{version: faulty, chance: func() float64 { return 0 }}},
			[]string{"Ratings service is currently unavailable"},
			[]string{"<font"},
		},
		"NoReviews": {
			store{behind: gone},
			[]string{"Book Details", "Error fetching product reviews", "Sorry, product reviews are currently unavailable for this book."},
			[]string{"Book Reviews"},
		},
		"NoDetails": {store{details: details{outside: "http://127.0.0.1:1"}}, []string{"Error fetching product details", "Book Reviews"}, []string{"Book Details"}},
	} {
		t.Run(name, func(t *testing.T) {
			client := c.store.open(t)
			status, body := ask(t, client, c.store.base+"/productpage?u=normal")
			if status != http.StatusOK {
				t.Errorf("status %d", status)
			}
			for _, text := range c.want {
				if !strings.Contains(body, text) {
					t.Errorf("no %q in\n%s", text, body)
				}
			}
			for _, text := range c.not {
				if strings.Contains(body, text) {
					t.Errorf("%q in\n%s", text, body)
				}
			}
		})
	}
}

func TestStars(t *testing.T) {
	s := store{reviews: reviews{color: "red"}}
	client := s.open(t)
	_, body := ask(t, client, s.base+"/productpage")
	if full, empty := strings.Count(body, `id="glyphicon glyphicon-star"`), strings.Count(body, "glyphicon-star-empty"); full != 9 || empty != 1 {
		t.Errorf("%d stars and %d empty ones, want 9 and 1", full, empty)
	}
}

// The paths of the API and the shape of what they answer.
func TestAPI(t *testing.T) {
	s := store{reviews: reviews{color: "red"}}
	client := s.open(t)
	for path, want := range map[string]string{
		"/api/v1/products/0": `{"id":0,"author":"William Shakespeare","year":1595,"type":"paperback","pages":200,"publisher":"PublisherA",` +
			`"language":"English","ISBN-10":"1234567890","ISBN-13":"123-1234567890"}`,
		"/api/v1/products/7/ratings": `{"id":7,"ratings":{"Reviewer1":5,"Reviewer2":4}}`,
	} {
		if status, body := ask(t, client, s.base+path); status != http.StatusOK || body != want {
			t.Errorf("%s: %d %s\nwant %s", path, status, body, want)
		}
	}
	var got reviewed
	_, body := ask(t, client, s.base+"/api/v1/products/0/reviews")
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	for i := range got.Reviews {
		got.Reviews[i].Text = ""
	}
	want := reviewed{ID: "0", PodName: "pod", ClusterName: "null", Reviews: []review{
		{Reviewer: "Reviewer1", Rating: &rating{Stars: 5, Color: "red"}}, {Reviewer: "Reviewer2", Rating: &rating{Stars: 4, Color: "red"}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for path, want := range map[string]int{
		"/": 200, "/index.html": 200, "/health": 200, "/metrics": 200, "/api/v1/products": 200, "/api/v1/products/x": 400,
		"/static/tailwind/tailwind.css": 200, "/static/img/izzy.png": 200, "/static/none": 404, "/none": 404,
	} {
		if status, _ := ask(t, client, s.base+path); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	if _, body := ask(t, client, s.base+"/metrics"); !strings.Contains(body, `request_result_total{destination_app="reviews",response_code="200"} 1`) {
		t.Errorf("metrics:\n%s", body)
	}
}

// Who is logged in is named to the services behind, and nobody else.
func TestLogin(t *testing.T) {
	var seen []string
	s := store{behind: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen = append(seen, r.Header.Get("end-user"))
			next.ServeHTTP(w, r)
		})
	}}
	client := s.open(t)
	response, err := client.PostForm(s.base+"/login", url.Values{"username": {"jason"}, "passwd": {"any"}})
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	_, body := ask(t, client, s.base+"/productpage")
	if response.Request.URL.Path != "/productpage" || !strings.Contains(body, "jason (") {
		t.Errorf("after the login at %s:\n%s", response.Request.URL, body)
	}
	ask(t, client, s.base+"/logout")
	forged, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.base+"/productpage", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	forged.Header.Set("end-user", "jason")
	forged.AddCookie(&http.Cookie{Name: sessionCookie, Value: "amFzb24.forged"})
	response, err = http.DefaultClient.Do(forged)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if diff := cmp.Diff([]string{"jason", "jason", "", ""}, seen); diff != "" {
		t.Error(diff)
	}
}

func TestForward(t *testing.T) {
	in := http.Header{}
	for _, name := range []string{"X-Request-Id", "Traceparent", "X-B3-Traceid", "End-User", "Cookie", "X-Other", "Host"} {
		in.Set(name, name+" value")
	}
	want := http.Header{}
	for _, name := range []string{"X-Request-Id", "Traceparent", "X-B3-Traceid", "End-User", "Cookie"} {
		want.Set(name, name+" value")
	}
	if diff := cmp.Diff(want, forward(in)); diff != "" {
		t.Error(diff)
	}
}

// Productpage asks reviews twice before it gives up; the version that floods
// does so as often as it is told, for each page.
func TestTriesReviewsTwice(t *testing.T) {
	var asked atomic.Int32
	s := store{flood: 3, behind: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
		})
	}}
	client := s.open(t)
	if status, _ := ask(t, client, s.base+"/api/v1/products/0/reviews"); status != http.StatusServiceUnavailable || asked.Load() != 2 {
		t.Errorf("status %d after %d requests, want 503 after 2", status, asked.Load())
	}
	ask(t, client, s.base+"/productpage")
	if got := asked.Load(); got != 2+2+3*2 {
		t.Errorf("%d requests after a page, want 10", got)
	}
}

func TestRatingsVersions(t *testing.T) {
	status := func(s *ratings, method, path, body string) int {
		w := httptest.NewRecorder()
		s.handler().ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		return w.Code
	}
	at := func(d time.Duration) func() time.Duration { return func() time.Duration { return d } }
	draw := func(f float64) func() float64 { return func() float64 { return f } }
	for name, c := range map[string]struct {
		s                  *ratings
		method, path, body string
		want               int
	}{
		"Number":            {&ratings{}, "GET", "/ratings/x", "", 400},
		"Post":              {&ratings{}, "POST", "/ratings/0", `{"Reviewer1":1}`, 200},
		"PostGarbage":       {&ratings{}, "POST", "/ratings/0", `{`, 400},
		"Faulty":            {&ratings{version: faulty, chance: draw(0.4)}, "GET", "/ratings/0", "", 503},
		"FaultyLucky":       {&ratings{version: faulty, chance: draw(0.6)}, "GET", "/ratings/0", "", 200},
		"Delayed":           {&ratings{version: delayed, chance: draw(0.4)}, "GET", "/ratings/0", "", 200},
		"UnavailableFirst":  {&ratings{version: unavailable, since: at(time.Second)}, "GET", "/ratings/0", "", 200},
		"UnavailableSecond": {&ratings{version: unavailable, since: at(61 * time.Second)}, "GET", "/ratings/0", "", 503},
		"UnavailableHealth": {&ratings{version: unavailable, since: at(61 * time.Second)}, "GET", "/health", "", 200},
		"UnhealthyHealth":   {&ratings{version: unhealthy, since: at(16 * time.Minute)}, "GET", "/health", "", 500},
		"UnhealthyThird":    {&ratings{version: unhealthy, since: at(31 * time.Minute)}, "GET", "/health", "", 200},
	} {
		if got := status(c.s, c.method, c.path, c.body); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// Version 2 of details reads what the books service answers.
func TestDetailsAsksOutside(t *testing.T) {
	outside := httptest.NewServer(books("stand-in"))
	defer outside.Close()
	got, err := details{outside: outside.URL}.ask(t.Context(), 3, http.Header{})
	want := book{
		ID: 3, Author: "William Shakespeare", Year: "2002-05-28", Type: "paperback", Pages: 64, Publisher: "stand-in as nobody",
		Language: "English", ISBN10: "0486424618", ISBN13: "9780486424613",
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestLoadCounts(t *testing.T) {
	s := reviews{podName: "reviews-v1-a", clusterName: "null", log: io.Discard}
	server := httptest.NewServer(s.handler())
	defer server.Close()
	got := load(t.Context(), server.URL+"/health", 50, 4)
	if got.Statuses["200"] != 50 || got.PodNames["reviews-v1-a"] != 50 || len(got.PodNames) != 1 || got.First["reviews-v1-a"] == "" || got.Last["reviews-v1-a"] == "" || len(got.Errors) > 0 {
		t.Errorf("%+v", got)
	}
	gone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "gone", http.StatusServiceUnavailable) }))
	defer gone.Close()
	if got := load(t.Context(), gone.URL, 5, 2); got.Statuses["503"] != 5 || got.PodNames["none"] != 5 || got.Errors["503 gone\n"] != 5 {
		t.Errorf("of one that is gone: %+v", got)
	}
}

// Programs are known by the binary's name, or by the first argument.
func TestPrograms(t *testing.T) {
	var out, errs strings.Builder
	server := httptest.NewServer(httpbin())
	defer server.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		args []string
		want int
	}{
		"None":      {t.Context(), []string{"/bookinfo"}, 2},
		"Unknown":   {t.Context(), []string{"/bookinfo", "nosuch"}, 2},
		"ByName":    {t.Context(), []string{"/usr/bin/curl", "-sS", server.URL + "/get"}, 0},
		"ByFirst":   {t.Context(), []string{"/bookinfo", "curl", "-sf", server.URL + "/status/418"}, 22},
		"Refused":   {t.Context(), []string{"curl", "-s", "127.0.0.1:1"}, 7},
		"TwoURLs":   {t.Context(), []string{"curl", "a", "b"}, 2},
		"SleepEnds": {ended, []string{"/bin/sleep", "infinity"}, 0},
	} {
		if got := run(c.ctx, c.args, func(string) string { return "" }, &out, &errs); got != c.want {
			t.Errorf("%s: %d, want %d: %s", name, got, c.want, errs.String())
		}
	}
}
