// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"net/netip"
	"time"
)

// NewPatient is New for tests, in which a nameserver that answers late because the
// machine is busy is not passed over.
func NewPatient(nameservers []netip.AddrPort) *Server {
	s := New(nameservers)
	s.forwarder.timeout = time.Minute
	return s
}
