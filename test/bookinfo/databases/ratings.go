// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"strconv"
	"time"
)

// patience is how long ratings waits for its database.
const patience = 5 * time.Second

// source reads the stars, in the order in which the database keeps them. On an
// error, told is what the visitor may know of it.
type source func(ctx context.Context) (stars []int, told string, err error)

// rated is what ratings tells: the stars that each reviewer gives.
type rated struct {
	ID      int            `json:"id"`
	Ratings map[string]int `json:"ratings"`
}

// ratings answers as the first version does, with stars out of a database.
type ratings struct {
	stars source
	log   io.Writer
}

// runRatings takes the variables of upstream's manifests, and the port as an argument.
func runRatings(ctx context.Context, p process) error {
	port := "9080"
	if len(p.args) > 0 {
		port = p.args[0]
	}
	s := ratings{stars: fromMongo(p.env("MONGO_DB_URL"), patience), log: p.stdout}
	if p.env("DB_TYPE") == "mysql" {
		address := net.JoinHostPort(p.env("MYSQL_DB_HOST"), p.env("MYSQL_DB_PORT"))
		s.stars = fromMySQL(address, p.env("MYSQL_DB_USER"), p.env("MYSQL_DB_PASSWORD"), patience)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("", port))
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "ratings answers on %s\n", listener.Addr())
	// A proxy opens connections before it has requests for them.
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: time.Hour}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = server.Shutdown(ending)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (s ratings) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"status": "Ratings is healthy"})
	})
	mux.HandleFunc("GET /ratings/", s.get)
	mux.HandleFunc("POST /ratings/", s.post)
	return mux
}

func (s ratings) get(w http.ResponseWriter, r *http.Request) {
	id, ok := bookID(w, r)
	if !ok {
		return
	}
	stars, told, err := s.stars(r.Context())
	if err != nil {
		fmt.Fprintf(s.log, "%s: %v\n", told, err)
		answer(w, http.StatusInternalServerError, failure(told))
		return
	}
	// Who has no row gives no stars.
	given := rated{ID: id, Ratings: map[string]int{"Reviewer1": 0, "Reviewer2": 0}}
	for i, reviewer := range []string{"Reviewer1", "Reviewer2"} {
		if i < len(stars) {
			given.Ratings[reviewer] = stars[i]
		}
	}
	answer(w, http.StatusOK, given)
}

// post refuses, as upstream's does: only the first version keeps what is posted.
func (s ratings) post(w http.ResponseWriter, r *http.Request) {
	if _, ok := bookID(w, r); !ok {
		return
	}
	var stars map[string]int
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&stars); err != nil {
		answer(w, http.StatusBadRequest, failure("please provide valid ratings JSON"))
		return
	}
	answer(w, http.StatusNotImplemented, failure("Post not implemented for database backed ratings"))
}

func bookID(w http.ResponseWriter, r *http.Request) (int, bool) {
	id, err := strconv.Atoi(path.Base(r.URL.Path))
	if err != nil {
		answer(w, http.StatusBadRequest, failure("please provide numeric product ID"))
	}
	return id, err == nil
}

func failure(text string) map[string]string { return map[string]string{"error": text} }

// answer writes a value as JSON.
func answer(w http.ResponseWriter, status int, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// If the client is gone there is nobody to tell.
	_, _ = w.Write(text)
}
