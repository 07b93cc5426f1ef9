// SPDX-License-Identifier: Apache-2.0

package security

import (
	"strconv"
	"strings"

	securityapi "istio.io/api/security/v1beta1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

func (r *reader) operation(field string, o *securityapi.Operation) model.Operation {
	out := model.Operation{
		Hosts:   r.list(field, "hosts", o.GetHosts(), o.GetNotHosts(), nil),
		Ports:   r.list(field, "ports", o.GetPorts(), o.GetNotPorts(), r.port),
		Methods: r.list(field, "methods", o.GetMethods(), o.GetNotMethods(), nil),
		Paths:   r.list(field, "paths", o.GetPaths(), o.GetNotPaths(), r.path),
	}
	if allEmpty(out.Hosts, out.Ports, out.Methods, out.Paths) {
		r.refuse(field, "an operation that asks nothing is not allowed; name what it must be, or leave out to for any operation")
	}
	return out
}

func (r *reader) port(field, value string) {
	if n, err := strconv.Atoi(value); err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != value {
		r.refuse(field, "%q is no port; use 1 to 65535", value)
	}
}

// path templates have {*} for one segment and {**} for any number of them,
// which must be the last one; each is a segment of its own.
func (r *reader) path(field, value string) {
	if !strings.Contains(value, "{*}") && !strings.Contains(value, "{**}") {
		return
	}
	if !strings.HasPrefix(value, "/") {
		r.refuse(field, "path template %q doesn't begin with a slash; write /%s", value, value)
		return
	}
	last := false
	for _, segment := range strings.Split(value[1:], "/") {
		switch {
		case segment == "{*}" || segment == "{**}":
			if last {
				r.refuse(field, "path template %q: {**} must be the last operator", value)
				return
			}
			last = segment == "{**}"
		case strings.ContainsAny(segment, "*{}"):
			r.refuse(field, "path template %q: *, { and } may only stand in {*} and {**}, which are whole segments", value)
			return
		}
	}
}
