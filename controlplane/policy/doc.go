// SPDX-License-Identifier: Apache-2.0

// Package policy turns the model's Authorizations and RequestAuthentications
// into filters of stock Envoy: jwt_authn, ext_authz and RBAC. It is pure. The
// translators of sidecars and gateways put its filters in front of their own.
//
// Where anything is in doubt the answer is no. Each match is therefore read in
// one of two ways: wide where matching it refuses the call (in DENY and CUSTOM,
// or behind a negation in ALLOW), narrow where matching it lets the call in.
package policy
