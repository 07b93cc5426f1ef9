// SPDX-License-Identifier: Apache-2.0

// Package scenario reads a model.Mesh from a few lines of text, for tests:
//
//	member west network=n1 region=eu zone=eu-1 trust=west.example
//	service shop/reviews vip=10.96.0.7 port=9080/HTTP port=70/TCP id=shop/reviews
//	endpoint shop/reviews:9080 10.244.0.7:9080 zone=eu/eu-1
//	workload shop/reviews-1 10.244.0.7 sa=reviews mtls=Strict in=9080/HTTP
//	import shop/reviews:9080 gateway=192.0.2.7:15443 member=east network=n2 weight=3 zone=us/us-1 subset=v1:version=v1:2
//
// A first word names the kind of thing, a second the thing; then come
// key=value pairs and flags in any order. Lines that begin with # are comments.
package scenario
