// SPDX-License-Identifier: Apache-2.0

// Package agent is what runs beside Envoy in every proxy pod. Run starts its
// parts in order and ends them in order; each part is a package of its own:
//
//	csr        key and certificate from the control plane's CA
//	sds        both given to Envoy over a socket
//	bootstrap  the file that Envoy starts with
//	patches    what EnvoyFilters want different in that file
//	process    Envoy itself, as a child
//	admin      Envoy's administration interface
//	health     is the proxy ready
//	drain      ending without cutting anybody off
//	probe      the kubelet's probes, sent on to the application
//	readiness  on a machine: the application's own probe, told the control plane
//	metrics    Envoy's and the application's metrics as one page
//	nds, dns   names that only the mesh knows, answered to the pod
//	redirect   the pod's traffic led through Envoy (run before, by itself)
//
// Envoy itself talks xDS to the control plane; the agent is not in between.
package agent
