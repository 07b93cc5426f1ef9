// SPDX-License-Identifier: Apache-2.0

// Package admission tells who writes a MeshFederation or a MeshMember what the
// hub would tell later in a condition: what can't work is refused, and what
// doesn't work yet is a warning. It stands before the controllers and asks
// their own code, so that both say the same. It only helps: the controllers see
// the same and hurt nobody by it, so an object that gets past it does no harm,
// and neither a deletion nor the hub's own writes are ever held up by it.
package admission
