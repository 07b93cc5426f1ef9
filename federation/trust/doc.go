// SPDX-License-Identifier: Apache-2.0

// Package trust makes and checks the certificates of a federation: the root on
// the hub, one name-constrained intermediate per member, the hub's own server
// certificate, and the one-time tokens with which members enrol. Hub and
// member stand on either side of it; controlplane/ca signs workloads under
// what it made. It is pure: clock and randomness are arguments, and nothing is
// read or written.
package trust
