// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"fmt"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// changes of headers, in Envoy's words. Envoy removes first, then sets and adds.
type changes struct {
	add, answerAdd       []*corev3.HeaderValueOption
	remove, answerRemove []string
	// authority that the upstream is asked for; empty leaves it.
	authority string
}

// changes of a rule or of one of its destinations. Setting the Host header, or
// :authority, rewrites the host.
func (r rule) changes(field string, c model.HeaderChanges) changes {
	var out changes
	request := c.Request
	request.Set = slices.Clone(request.Set)
	request.Set = slices.DeleteFunc(request.Set, func(h model.Header) bool {
		if !strings.EqualFold(h.Name, "host") && h.Name != ":authority" {
			return false
		}
		if !envoy.ValidValue(h.Value) || h.Value == "" {
			r.tell(field+".request.set", "InvalidHeader", fmt.Sprintf("%q is no host: write a name, or none", h.Value))
			return true
		}
		out.authority = h.Value
		return true
	})
	out.add, out.remove = r.operations(field+".request", request)
	out.answerAdd, out.answerRemove = r.operations(field+".response", c.Response)
	return out
}

func (r rule) operations(field string, ops model.HeaderOps) (add []*corev3.HeaderValueOption, remove []string) {
	for _, name := range ops.Remove {
		if r.changeable(field+".remove", name) {
			remove = append(remove, name)
		}
	}
	for _, h := range ops.Set {
		add = r.change(add, field+".set", h, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD)
	}
	for _, h := range ops.Add {
		add = r.change(add, field+".add", h, corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD)
	}
	return add, remove
}

func (r rule) change(list []*corev3.HeaderValueOption, field string, h model.Header, action corev3.HeaderValueOption_HeaderAppendAction) []*corev3.HeaderValueOption {
	if !r.changeable(field, h.Name) {
		return list
	}
	if !envoy.ValidValue(h.Value) {
		r.tell(field+"."+h.Name, "InvalidHeader", "the value is longer than 16384 bytes or has a line break in it: write it on one line")
		return list
	}
	return append(list, &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: h.Name, Value: r.format(field+"."+h.Name, h.Value)},
		AppendAction: action,
		// Envoy drops empty values otherwise.
		KeepEmptyValue: h.Value == "",
	})
}

// changeable is true for headers that Envoy lets routes change.
func (r rule) changeable(field, name string) bool {
	switch {
	case strings.HasPrefix(name, ":") || strings.EqualFold(name, "host"):
		r.tell(field+"."+name, "NotSupported", fmt.Sprintf("header %q can only be set in requests, as :authority: use the rewrite for paths", name))
		return false
	case !envoy.ValidName(name):
		r.tell(field, "InvalidHeader", fmt.Sprintf("%q is no name of a header: write letters, digits and hyphens", name))
		return false
	}
	return true
}

// format of a value. Istio's values may hold Envoy's command operators; what
// isn't one, and all of the Gateway API's, is meant literally.
func (r rule) format(field, value string) string {
	if !strings.Contains(value, "%") {
		return value
	}
	if r.routing.BySpecificity {
		return strings.ReplaceAll(value, "%", "%%")
	}
	out, unknown := commands(value)
	if unknown != "" {
		r.tell(field, "UnknownOperator", fmt.Sprintf("%s is no command operator that is known, and is sent as it is written: mend it, or double the %%", unknown))
	}
	return out
}

func (c changes) write(route *routev3.Route) {
	route.RequestHeadersToAdd, route.RequestHeadersToRemove = c.add, c.remove
	route.ResponseHeadersToAdd, route.ResponseHeadersToRemove = c.answerAdd, c.answerRemove
}
