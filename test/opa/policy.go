// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sort"

	"github.com/open-policy-agent/opa/v1/rego"
)

// Policy decides on calls.
type Policy struct{ query rego.PreparedEvalQuery }

// load compiles the policy; a mistake in it stops the program, not the calls.
func load(ctx context.Context, files []string, query string) (*Policy, error) {
	q, err := rego.New(rego.Query(query), rego.Load(files, nil), rego.StrictBuiltinErrors(true)).PrepareForEval(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the policy: %w", err)
	}
	return &Policy{query: q}, nil
}

// Decision on a call.
type Decision struct {
	Allowed bool
	// Status and Body are the answer to a call that isn't allowed.
	Status int
	Body   string
	// Headers reach the application when the call is allowed, else the client.
	Headers http.Header
	// ResponseHeaders reach the client when the call is allowed.
	ResponseHeaders http.Header
	// Remove are headers that the application doesn't get.
	Remove []string
}

// refused is the decision where there is none: an error, or nothing that the
// policy says. It is a decision, so failOpen doesn't let the call in.
var refused = Decision{Status: http.StatusForbidden}

// Decide on a call.
func (p *Policy) Decide(ctx context.Context, input map[string]any) Decision {
	results, err := p.query.Eval(ctx, rego.EvalInput(input))
	if err != nil {
		slog.Error("the policy failed, so the call is refused", "error", err)
		return refused
	}
	if len(results) != 1 || len(results[0].Expressions) != 1 {
		slog.Warn("the policy decides nothing, so the call is refused")
		return refused
	}
	d, err := read(results[0].Expressions[0].Value)
	if err != nil {
		slog.Error("the policy's decision can't be read, so the call is refused", "error", err)
		return refused
	}
	return d
}

// read what the policy says: a boolean, or an object.
func read(value any) (Decision, error) {
	d := Decision{Status: http.StatusForbidden}
	if allowed, ok := value.(bool); ok {
		d.Allowed = allowed
		return d, nil
	}
	object, ok := value.(map[string]any)
	if !ok {
		return d, fmt.Errorf("it is %T: use a boolean or an object with allowed", value)
	}
	var err error
	for _, key := range keys(object) {
		v := object[key]
		fits := true
		switch key {
		case "allowed":
			d.Allowed, fits = v.(bool)
		case "body":
			d.Body, fits = v.(string)
		case "http_status":
			n, _ := v.(json.Number)
			status, _ := n.Int64()
			d.Status, fits = int(status), status >= 200 && status <= 599
		case "headers":
			d.Headers, err = headers(v)
		case "response_headers_to_add":
			d.ResponseHeaders, err = headers(v)
		case "request_headers_to_remove":
			d.Remove, fits = texts(v)
		}
		if err != nil || !fits {
			return d, fmt.Errorf("%s: %v doesn't fit", key, v)
		}
	}
	return d, nil
}

// headers are names with a value, or with several.
func headers(value any) (http.Header, error) {
	object, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%T is no object", value)
	}
	out := http.Header{}
	for _, name := range keys(object) {
		values, ok := texts(object[name])
		if !ok {
			return nil, fmt.Errorf("header %s is neither a string nor a list of them", name)
		}
		for _, v := range values {
			out.Add(name, v)
		}
	}
	return out, nil
}

// texts of a string or a list of strings.
func texts(value any) ([]string, bool) {
	if s, ok := value.(string); ok {
		return []string{s}, true
	}
	list, ok := value.([]any)
	out := make([]string, 0, len(list))
	for _, v := range list {
		s, is := v.(string)
		ok = ok && is
		out = append(out, s)
	}
	return out, ok
}

func keys[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
