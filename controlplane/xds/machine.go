// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"time"

	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// healthType is what a machine's agent reports its workload's health by, as a
// request: without an error it is healthy. Nobody answers.
const healthType = "type.googleapis.com/istio.v1.HealthInformation"

// machine is what a stream of a machine that is to be registered tells. The zero
// value is of any other stream, and does nothing.
type machine struct {
	who  *model.Machine
	tell Machines
	says model.MachineStream
}

// introduce the proxy of a node, if it is to be registered; it is called by its
// entry's name from then on, and the service account is the credential's.
func (m *machine) introduce(n *node, c *authn.Caller, tell Machines) error {
	if n.metadata.group == "" || tell == nil {
		return nil
	}
	who := &model.Machine{
		Namespace: c.Namespace, ServiceAccount: c.ServiceAccount, Group: n.metadata.group,
		Network: n.metadata.network, Locality: n.locality, Labels: n.metadata.labels, Probed: n.metadata.probed,
	}
	if len(n.addresses) > 0 {
		who.Address = n.addresses[0]
	}
	name, err := tell.Admit(who)
	if err != nil {
		return err
	}
	n.name = name
	m.who, m.tell = who, tell
	return nil
}

// configured: the stream asks for what the machine is to do, so it is the one of
// its Envoy. Others come and go beside it.
func (m *machine) configured() {
	if m.who != nil && m.says.Configured.IsZero() {
		m.says.Configured = time.Now()
		m.say()
	}
}

// reports the workload's health.
func (m *machine) reports(r *request) {
	if m.who == nil {
		return
	}
	m.says.Health = &model.MachineHealth{Healthy: !r.rejected, Message: clipReason(r.reason), At: time.Now()}
	m.say()
}

func (m *machine) say() {
	says := m.says
	m.tell.Says(m.who, &says)
}

// left: the stream has ended.
func (m *machine) left() {
	if m.who != nil {
		m.tell.Says(m.who, nil)
	}
}
