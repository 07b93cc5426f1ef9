// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"crypto/sha256"

	"google.golang.org/protobuf/proto"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
)

// hashSize is enough that two contents never meet by chance: nobody gains by
// forging a collision with what they themselves sent.
const hashSize = 16

// SetServiceHash computes the hash of the service's content and writes it into s.
func SetServiceHash(s *federationv1.Service) {
	s.Hash = nil
	s.Hash = hash(s)
}

// SetMemberHash computes the hash of the member's content and writes it into m.
func SetMemberHash(m *federationv1.Member) {
	m.Hash = nil
	m.Hash = hash(m)
}

func hash(m proto.Message) []byte {
	// Marshalling fails for strings that aren't UTF-8 only; the deterministic
	// bytes of the rest are still a good hash of it.
	b, _ := proto.MarshalOptions{Deterministic: true, AllowPartial: true}.Marshal(m)
	sum := sha256.Sum256(b)
	return sum[:hashSize]
}
