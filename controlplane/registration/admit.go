// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"fmt"

	networking "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Refusal says why a machine isn't registered, and what mends it.
type Refusal struct {
	Reason  Reason
	Message string
}

// Error implements error.
func (r *Refusal) Error() string { return r.Message }

// Reason of a Refusal.
type Reason int

// Reasons of Refusals.
const (
	// Malformed: what the machine says of itself can't be a WorkloadEntry.
	Malformed Reason = iota + 1
	// NoGroup: there is no such WorkloadGroup (yet), or it can't be used.
	NoGroup
	// Denied: the group, or the entry, is another service account's.
	Denied
)

func refuse(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{reason, fmt.Sprintf(format, args...)}
}

// standard is the service account of a template that names none.
const standard = "default"

// Admit says whether a machine may be a member of its group, which is nil when
// there is none, with the entry of its name, which is nil likewise; nil when it
// may. An entry that somebody wrote by hand stands for the machine as it is.
func Admit(m *model.Machine, group *networking.WorkloadGroup, entry *networking.WorkloadEntry) *Refusal {
	if r := checkClaims(m); r != nil {
		return r
	}
	if entry != nil && !Registered(entry) {
		return nil
	}
	if group == nil {
		return refuse(NoGroup, "there is no WorkloadGroup %s/%s to register this machine with; apply it, or correct AUTO_REGISTER_GROUP", m.Namespace, m.Group)
	}
	if group.Spec.GetTemplate() == nil {
		return refuse(NoGroup, "WorkloadGroup %s/%s has no template to make WorkloadEntries of; add spec.template", m.Namespace, m.Group)
	}
	if want := accountOf(group.Spec.GetTemplate().GetServiceAccount()); want != m.ServiceAccount {
		return refuse(Denied, "WorkloadGroup %s/%s takes machines with service account %q, and the credential is for %q; give the machine a token of that account, or name the account in spec.template.serviceAccount",
			m.Namespace, m.Group, want, m.ServiceAccount)
	}
	if entry == nil {
		return nil
	}
	if of := entry.Annotations[GroupAnnotation]; of != m.Group {
		return refuse(Denied, "WorkloadEntry %s/%s is of WorkloadGroup %q, not of %q; rename one of the groups", entry.Namespace, entry.Name, of, m.Group)
	}
	if has := accountOf(entry.Spec.GetServiceAccount()); has != m.ServiceAccount {
		return refuse(Denied, "WorkloadEntry %s/%s is of service account %q, and the credential is for %q; delete the entry if the group's account was changed",
			entry.Namespace, entry.Name, has, m.ServiceAccount)
	}
	return nil
}

func accountOf(name string) string {
	if name == "" {
		return standard
	}
	return name
}

// checkClaims looks at what only the machine itself says.
func checkClaims(m *model.Machine) *Refusal {
	if len(validation.IsDNS1123Subdomain(m.Group)) > 0 {
		return refuse(Malformed, "AUTO_REGISTER_GROUP %.100q is no name of a WorkloadGroup; give the group's metadata.name", m.Group)
	}
	a := m.Address.Unmap()
	switch {
	case !a.IsValid() || a.IsUnspecified():
		return refuse(Malformed, "the proxy tells no address to register; set ISTIO_SVC_IP to the machine's address")
	case a.Zone() != "" || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast():
		// Others would send to themselves, or to what is beside them.
		return refuse(Malformed, "%s means something on one machine only; set ISTIO_SVC_IP to an address that others reach", a)
	}
	if name := KeyOf(m).Name; len(validation.IsDNS1123Subdomain(name)) > 0 {
		return refuse(Malformed, "%.300q can't be a WorkloadEntry's name; use lower case letters, digits and hyphens in ISTIO_META_NETWORK", name)
	}
	return nil
}
