// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// reviewed is what reviews tells: ID is text, ClusterName the word null when
// nobody said which cluster it is.
type reviewed struct {
	ID          string   `json:"id"`
	PodName     string   `json:"podname"`
	ClusterName string   `json:"clustername"`
	Reviews     []review `json:"reviews"`
}

type review struct {
	Reviewer string  `json:"reviewer"`
	Text     string  `json:"text"`
	Rating   *rating `json:"rating,omitempty"`
}

// rating has stars and their colour, or says why it has not.
type rating struct {
	Stars int    `json:"stars,omitempty"`
	Color string `json:"color,omitempty"`
	Error string `json:"error,omitempty"`
}

// reviews tells what people think of a book. Version 1 does not ask for
// ratings, version 2 has black stars and version 3 red ones.
type reviews struct {
	podName, clusterName string
	// ratings is the address of the ratings service; empty does not ask it.
	ratings string
	color   string
	// patience is how long it waits for ratings.
	patience time.Duration
	log      io.Writer
}

func runReviews(ctx context.Context, p process) int {
	s := reviews{
		podName: p.env("HOSTNAME"), clusterName: p.or("CLUSTER_NAME", "null"),
		color: p.or("STAR_COLOR", "black"), log: p.stdout,
	}
	if p.env("ENABLE_RATINGS") == "true" {
		s.ratings = peer(p, "ratings", "RATINGS")
	}
	// The versions differ in this, which the task on fault injection shows.
	s.patience = 2500 * time.Millisecond
	if s.color == "black" {
		s.patience = 10 * time.Second
	}
	return serve(ctx, p, "reviews", "9080", s.handler())
}

func (s reviews) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		// The pod's name is ours: a load counts the versions by it.
		answerJSON(w, http.StatusOK, map[string]string{"status": "Reviews is healthy", "podname": s.podName})
	})
	mux.HandleFunc("GET /reviews/{id}", s.answer)
	return mux
}

func (s reviews) answer(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	// A mirrored request is known by its host.
	fmt.Fprintln(s.log, "asked as", r.Host)
	all := []review{
		{Reviewer: "Reviewer1", Text: "Two pairs of twins and not one dull minute: the funniest evening in a long time."},
		{Reviewer: "Reviewer2", Text: "Light, quick and full of mistaken identities. For depth, read one of the later plays."},
	}
	if s.ratings != "" {
		stars := s.ask(r, id)
		for i := range all {
			all[i].Rating = &rating{Error: "Ratings service is currently unavailable"}
			if n, rated := stars[all[i].Reviewer]; rated {
				all[i].Rating = &rating{Stars: n, Color: s.color}
			}
		}
	}
	answerJSON(w, http.StatusOK, reviewed{ID: strconv.Itoa(id), PodName: s.podName, ClusterName: s.clusterName, Reviews: all})
}

// ask returns the stars that each reviewer gives, or none if they can't be had.
func (s reviews) ask(r *http.Request, id int) map[string]int {
	status, body, err := fetch(r.Context(), s.ratings+"/ratings/"+strconv.Itoa(id), forward(r.Header), s.patience)
	if err != nil {
		fmt.Fprintln(s.log, "ratings:", err)
		return nil
	}
	var answer rated
	if status != http.StatusOK {
		fmt.Fprintln(s.log, "ratings: status", status)
		return nil
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		fmt.Fprintln(s.log, "ratings:", err)
		return nil
	}
	return answer.Ratings
}
