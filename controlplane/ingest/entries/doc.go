// SPDX-License-Identifier: Apache-2.0

// Package entries turns Istio's ServiceEntries, WorkloadEntries and
// WorkloadGroups into services, endpoints and workloads of the model. It is a
// part of ingest, which calls it with what the Services and pods of the
// cluster gave; it is pure.
//
// Two definitions of one name are settled as follows, and the loser is told:
//
//   - A host that a Service of the same namespace has, here or in another
//     member, stays that Service's. As Istio documents it, the entry then only
//     adds its subjectAltNames to the identities that the Service's endpoints may
//     have; its ports, addresses and endpoints are not used.
//   - An entry for the name of a Service of another namespace, or for any name of
//     the cluster's own domain outside of its namespace, is seen in its own
//     namespace only, unless it is in the root namespace: nobody takes a name of
//     somebody else.
//   - Several entries of one namespace with one host are one service: the oldest
//     decides, a younger one adds ports and endpoints where it agrees.
//   - An address that a Service has is not an entry's.
package entries
