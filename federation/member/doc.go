// SPDX-License-Identifier: Apache-2.0

// Package member is a member's end of the flow between clusters. It comes after
// controlplane/ingest, whose mesh it makes exports of, and before it, whose
// input the imports are; the hub stands between two of them.
//
// Export is pure. Client carries exports to the hub and imports back over one
// stream that the member dials; Store keeps the last imports for the next
// start. Enroll and Renew get the member's intermediate CA from the hub.
package member
