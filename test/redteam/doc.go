// SPDX-License-Identifier: Apache-2.0

// Package redteam attacks the trust between members of a federation with the
// real parts: intermediates as the hub signs them, the member's CA over its
// CSR API, the agent's secret server, the TLS contexts that are translated for
// proxies, and a real Envoy. An attacker holds a member's intermediate key and
// may sign with it whatever it likes. Next to each refusal stands the same
// attack without the defence that refuses it, which gets through, so that no
// test passes for another reason than the one it is there for.
package redteam
