// SPDX-License-Identifier: Apache-2.0

package xds_test

import (
	"fmt"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// registrar admits machines of all groups but "closed", under the name that is the
// group's with an address, and writes down what they say.
type registrar struct {
	mu    sync.Mutex
	lines []string
}

func (r *registrar) Admit(m *model.Machine) (string, error) {
	if m.Group == "closed" {
		return "", status.Errorf(codes.PermissionDenied, "group %s of %s is closed to %s", m.Group, m.Namespace, m.ServiceAccount)
	}
	r.write(m, fmt.Sprintf("admitted: of %s/%s, network %q, labels %v, probed %t", m.Namespace, m.ServiceAccount, m.Network, m.Labels, m.Probed))
	return m.Group + "-" + m.Address.String(), nil
}

func (r *registrar) Says(m *model.Machine, s *model.MachineStream) {
	switch {
	case s == nil:
		r.write(m, "left")
	case s.Health == nil:
		r.write(m, fmt.Sprintf("configured %t", !s.Configured.IsZero()))
	default:
		r.write(m, fmt.Sprintf("configured %t, healthy %t %q", !s.Configured.IsZero(), s.Health.Healthy, s.Health.Message))
	}
}

func (r *registrar) write(m *model.Machine, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf("machine %s %s", m.Group, what))
}

// heard since it was asked last.
func (r *registrar) heard() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.lines
	r.lines = nil
	return out
}
