// SPDX-License-Identifier: Apache-2.0

// Package redirect leads a pod's traffic through its proxy by nftables rules
// in the pod's network namespace. It runs once, before the proxy, in the init
// container that alone has the right to do so.
//
// Options become a Ruleset, a plain value that can be printed and compared;
// only Apply touches the kernel. The meaning of the rules is Istio's.
package redirect
