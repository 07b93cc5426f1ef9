// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/url"
	"strings"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/encoding/protojson"
)

// partialBody is the header by which Envoy says that it sent the beginning of a body.
const partialBody = "x-envoy-auth-partial-body"

// document is what the policy sees of a call: the call as Envoy tells it below
// attributes, and its path, query and body taken apart.
func document(r *authv3.CheckRequest) (map[string]any, error) {
	text, err := protojson.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("read the call: %w", err)
	}
	var input map[string]any
	if err := json.Unmarshal(text, &input); err != nil {
		return nil, fmt.Errorf("read the call: %w", err)
	}
	request := r.GetAttributes().GetRequest().GetHttp()
	if request == nil {
		return input, nil // a connection
	}
	path, query, _ := strings.Cut(request.GetPath(), "?")
	segments := []any{}
	for _, s := range strings.Split(strings.TrimLeft(path, "/"), "/") {
		plain, err := url.PathUnescape(s)
		if err != nil {
			return nil, fmt.Errorf("read the path: %w", err)
		}
		segments = append(segments, plain)
	}
	input["parsed_path"] = segments
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("read the query: %w", err)
	}
	parsed := map[string]any{}
	for k, list := range values {
		all := make([]any, len(list))
		for i, v := range list {
			all[i] = v
		}
		parsed[k] = all
	}
	input["parsed_query"] = parsed
	input["truncated_body"] = request.GetHeaders()[partialBody] == "true"
	body, err := content(request)
	if err != nil {
		return nil, err
	}
	input["parsed_body"] = body
	return input, nil
}

// content of a body of JSON; nil of others, and of a part of one.
func content(r *authv3.AttributeContext_HttpRequest) (any, error) {
	raw := r.GetRawBody()
	if len(raw) == 0 {
		raw = []byte(r.GetBody())
	}
	kind, _, _ := mime.ParseMediaType(r.GetHeaders()["content-type"])
	if len(raw) == 0 || kind != "application/json" || r.GetHeaders()[partialBody] == "true" {
		return nil, nil
	}
	var body any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&body); err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	return body, nil
}
