# SPDX-License-Identifier: Apache-2.0

# Everybody may look at the shop. The storefront may order up to ten pieces.
package envoy.authz

request := input.attributes.request.http

default allow := {
	"allowed": false,
	"http_status": 403,
	"headers": {"x-denied-by": "opa"},
	"body": "the shop's policy says no\n",
}

allow := {
	"allowed": true,
	"headers": {"x-allowed-as": reason},
	"response_headers_to_add": {"x-checked-by": "opa"},
	"request_headers_to_remove": ["x-internal"],
} if reason

# Of several reasons one is named, so that there is always one decision.
reason := sort(reasons)[0]

reasons contains "visitor" if {
	request.method == "GET"
	input.parsed_path[0] == "shop"
	not banned
}

reasons contains "storefront" if {
	request.method == "POST"
	input.parsed_path == ["shop", "orders"]
	endswith(input.attributes.source.principal, "/ns/shop/sa/storefront")
	input.parsed_body.pieces <= 10
	not banned
}

# A header may come several times; Envoy joins the values with commas.
banned if {
	some value in split(object.get(request.headers, "x-visitor", ""), ",")
	trim_space(value) == "banned"
}
