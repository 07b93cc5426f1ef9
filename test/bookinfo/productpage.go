// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"html/template"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// product is a book that is for sale.
type product struct {
	ID          int           `json:"id"`
	Title       string        `json:"title"`
	Description template.HTML `json:"descriptionHtml"`
}

var products = []product{{
	Title: "The Comedy of Errors",
	Description: `An early play of <b>William Shakespeare</b>, and his shortest one: two pairs of twins who ` +
		`don't know of each other, in one town. <a href="https://en.wikipedia.org/wiki/The_Comedy_of_Errors">Wikipedia</a> has the plot.`,
}}

// productpage puts together what the other services tell.
type productpage struct {
	details, reviews, ratings string
	// patience is how long it waits for each of them.
	patience time.Duration
	// flood is how many needless requests it sends to reviews for each page.
	flood   int
	metrics *prometheus.Registry
	results *prometheus.CounterVec
}

func runProductpage(ctx context.Context, p process) int {
	// What is not a number floods nobody.
	flood, _ := strconv.Atoi(p.env("FLOOD_FACTOR"))
	s := newProductpage(peer(p, "details", "DETAILS"), peer(p, "reviews", "REVIEWS"), peer(p, "ratings", "RATINGS"))
	s.flood = flood
	return serve(ctx, p, "productpage", "9080", s.handler())
}

func newProductpage(details, reviews, ratings string) *productpage {
	s := &productpage{
		details: details, reviews: reviews, ratings: ratings, patience: 3 * time.Second,
		metrics: prometheus.NewRegistry(),
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "request_result_total", Help: "Results of requests to other services.",
		}, []string{"destination_app", "response_code"}),
	}
	s.metrics.MustRegister(s.results)
	return s
}

func (s *productpage) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.index)
	mux.HandleFunc("GET /index.html", s.index)
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		// If the client is gone there is nobody to tell.
		_, _ = w.Write([]byte("Product page is healthy"))
	})
	mux.HandleFunc("GET /productpage", s.front)
	mux.HandleFunc("POST /login", login)
	mux.HandleFunc("GET /logout", logout)
	mux.HandleFunc("GET /api/v1/products", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusOK, products)
	})
	mux.HandleFunc("GET /api/v1/products/{id}", s.api(s.askDetails))
	mux.HandleFunc("GET /api/v1/products/{id}/reviews", s.api(s.askReviews))
	mux.HandleFunc("GET /api/v1/products/{id}/ratings", s.api(s.askRatings))
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{}))
	mux.Handle("GET /static/", static())
	return mux
}

// headers are those of a request that the services behind are to see. Who is
// logged in is named to them; nobody can name himself.
func headers(r *http.Request) http.Header {
	h := forward(r.Header)
	h.Del("end-user")
	if user := userOf(r); user != "" {
		h.Set("end-user", user)
	}
	return h
}

// question asks one service about a book, and returns the status and the JSON
// of the answer, which for a status other than 200 says that there is none.
type question func(ctx context.Context, id string, headers http.Header) (int, []byte)

func (s *productpage) api(ask question) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		status, body := ask(r.Context(), r.PathValue("id"), headers(r))
		answerJSON(w, status, json.RawMessage(body))
	}
}

func (s *productpage) askDetails(ctx context.Context, id string, headers http.Header) (int, []byte) {
	return s.ask(ctx, "details", s.details+"/details/"+id, headers, 1)
}

// askReviews tries twice, each time as long as its patience lasts: the fault
// injection task of Istio's documentation finds out why that is a mistake.
func (s *productpage) askReviews(ctx context.Context, id string, headers http.Header) (int, []byte) {
	return s.ask(ctx, "reviews", s.reviews+"/reviews/"+id, headers, 2)
}

func (s *productpage) askRatings(ctx context.Context, id string, headers http.Header) (int, []byte) {
	return s.ask(ctx, "ratings", s.ratings+"/ratings/"+id, headers, 1)
}

func (s *productpage) ask(ctx context.Context, app, url string, headers http.Header, tries int) (int, []byte) {
	status := http.StatusInternalServerError
	for range tries {
		got, body, err := fetch(ctx, url, headers, s.patience)
		if err == nil && got == http.StatusOK && json.Valid(body) {
			s.results.WithLabelValues(app, "200").Inc()
			return got, body
		}
		status = http.StatusInternalServerError
		if err == nil && got != http.StatusOK {
			status = got
		}
	}
	s.results.WithLabelValues(app, strconv.Itoa(status)).Inc()
	// A map of strings always marshals.
	body, _ := json.Marshal(failure("Sorry, product " + app + " are currently unavailable for this book."))
	return status, body
}

// front is the page that people see.
func (s *productpage) front(w http.ResponseWriter, r *http.Request) {
	const id = "0"
	to := headers(r)
	view := page{User: userOf(r), Product: products[0]}
	var body []byte
	view.DetailsStatus, body = s.askDetails(r.Context(), id, to)
	view.Details.read(body)
	s.floodReviews(r.Context(), id, to)
	view.ReviewsStatus, body = s.askReviews(r.Context(), id, to)
	view.Reviews.read(body)
	render(w, frontPage, view)
}

func (s *productpage) floodReviews(ctx context.Context, id string, headers http.Header) {
	var all sync.WaitGroup
	for range s.flood {
		all.Go(func() { s.askReviews(ctx, id, headers) })
	}
	all.Wait()
}

func (s *productpage) index(w http.ResponseWriter, _ *http.Request) {
	render(w, indexPage, []service{
		{"productpage", "", "details, reviews"},
		{"details", s.details, ""},
		{"reviews", s.reviews, "ratings"},
		{"ratings", s.ratings, ""},
	})
}
