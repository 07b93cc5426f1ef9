// SPDX-License-Identifier: Apache-2.0

package security

import (
	"strings"
	"unicode/utf8"

	securityapi "istio.io/api/security/v1beta1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// experimental begins keys that look into dynamic metadata:
// experimental.envoy.filters.<filter>[<key>].
const experimental = "experimental.envoy.filters."

// condition on an attribute; see "Authorization Policy Conditions" of Istio.
func (r *reader) condition(field string, c *securityapi.Condition) model.Condition {
	out := model.Condition{Key: c.GetKey()}
	var check func(field, value string)
	name, path, ok := out.Attribute()
	parts := 0
	switch name {
	case "request.headers":
		parts = 1
		if len(path) == 1 {
			r.header(field+".key", strings.TrimPrefix(path[0], ":"))
		}
	case "request.auth.claims":
		parts = -1
	case "source.ip", "remote.ip", "destination.ip":
		check = r.ipBlock
	case "destination.port":
		check = r.port
	case "source.principal":
		check = r.spiffe
	case "source.serviceAccount":
		check = r.serviceAccount
	case "source.namespace", "source.trustDomain", "request.auth.principal", "request.auth.audiences", "request.auth.presenter", "connection.sni":
	default:
		parts = 1
		if !strings.HasPrefix(name, experimental) || name == experimental {
			r.refuse(field+".key", "attribute %q is unknown; use one of Istio's authorization policy conditions", out.Key)
			ok = true
			parts = len(path)
		}
	}
	switch {
	case !utf8.ValidString(out.Key) || len(out.Key) > maxValue:
		r.refuse(field+".key", "a key is text in UTF-8 of at most %d bytes; correct it", maxValue)
	case !ok, parts == 0 && len(path) > 0, parts == 1 && len(path) != 1, parts < 0 && len(path) == 0:
		r.refuse(field+".key", "%q: the brackets are wrong; write it as request.headers[name] or request.auth.claims[name][inner]", out.Key)
	}
	out.Values = r.values(field+".values", field+".notValues", c.GetValues(), c.GetNotValues(), check)
	switch name {
	case "source.principal":
		out.Values = named(out.Values)
	case "source.serviceAccount":
		out.Values = r.qualified(out.Values)
	}
	if out.Empty() {
		r.refuse(field, "a condition has values or notValues; add one of them")
	}
	return out
}
