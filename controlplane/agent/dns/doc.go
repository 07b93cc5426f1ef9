// SPDX-License-Identifier: Apache-2.0

// Package dns answers the pod's DNS questions for names that only the mesh
// knows, out of the table that nds received, and sends all others on to the
// pod's own nameservers unchanged. It says of no name that it doesn't exist:
// only a nameserver does.
package dns
