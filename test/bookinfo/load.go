// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/pflag"
)

// counts are what a load finds: answers by status, 0 for none, and by the pod
// of reviews that they name.
type counts struct {
	Statuses map[string]int `json:"statuses"`
	PodNames map[string]int `json:"podnames"`
	// First and Last are when each pod answered, from the start.
	First map[string]string `json:"first"`
	Last  map[string]string `json:"last"`
	// Errors are what was answered, or went wrong, where nobody gave his name.
	Errors map[string]int `json:"errors,omitempty"`
}

// runLoad sends many requests and counts the answers by version of reviews, so
// that the share of each can be told.
func runLoad(ctx context.Context, p process) int {
	flags := pflag.NewFlagSet("load", pflag.ContinueOnError)
	flags.SetOutput(p.stderr)
	count := flags.Int("count", 1000, "requests")
	parallel := flags.Int("parallel", 16, "requests at a time")
	if err := flags.Parse(p.args); err != nil || flags.NArg() != 1 || *count < 1 || *parallel < 1 {
		fmt.Fprintln(p.stderr, "load: want [--count N] [--parallel N] URL")
		return 2
	}
	if err := json.NewEncoder(p.stdout).Encode(load(ctx, flags.Arg(0), *count, *parallel)); err != nil {
		fmt.Fprintln(p.stderr, "load:", err)
		return 1
	}
	return 0
}

func load(ctx context.Context, url string, count, parallel int) counts {
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: parallel}}
	defer client.CloseIdleConnections()
	all := counts{Statuses: map[string]int{}, PodNames: map[string]int{}, First: map[string]string{}, Last: map[string]string{}, Errors: map[string]int{}}
	start := time.Now()
	var mu sync.Mutex
	var workers sync.WaitGroup
	work := make(chan struct{})
	for range parallel {
		workers.Go(func() {
			for range work {
				status, pod, trouble := once(ctx, client, url)
				pod = cmp.Or(pod, "none")
				at := time.Since(start).Round(time.Millisecond).String()
				mu.Lock()
				if all.PodNames[pod] == 0 {
					all.First[pod] = at
				}
				all.Statuses[strconv.Itoa(status)]++
				all.PodNames[pod]++
				all.Last[pod] = at
				if trouble != "" {
					all.Errors[trouble]++
				}
				mu.Unlock()
			}
		})
	}
	for range count {
		work <- struct{}{}
	}
	close(work)
	workers.Wait()
	return all
}

// once returns the status and who answered, or what kept him from it; what can't be
// read counts as no answer.
func once(ctx context.Context, client *http.Client, url string) (status int, pod, trouble string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, "", err.Error()
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return 0, "", err.Error()
	}
	var who reviewed
	if err := json.Unmarshal(body, &who); err != nil {
		return response.StatusCode, "", fmt.Sprintf("%d %.200s", response.StatusCode, body)
	}
	return response.StatusCode, who.PodName, ""
}
