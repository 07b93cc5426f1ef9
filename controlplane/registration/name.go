// SPDX-License-Identifier: Apache-2.0

package registration

import (
	"cmp"
	"slices"
	"strings"

	networking "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Istio's annotations on WorkloadEntries of machines that registered themselves.
const (
	// GroupAnnotation names the WorkloadGroup.
	GroupAnnotation = "istio.io/autoRegistrationGroup"
	// ControllerAnnotation is the replica that the machine is, or was last, connected to.
	ControllerAnnotation = "istio.io/workloadController"
	// ConnectedAnnotation is since when; not there while it isn't connected.
	ConnectedAnnotation = "istio.io/connectedAt"
	// DisconnectedAnnotation is since when it isn't; not there while it is.
	DisconnectedAnnotation = "istio.io/disconnectedAt"
	// HealthAnnotation, with the value true, makes an entry wait for a healthy report.
	HealthAnnotation = "proxy.istio.io/health-checks-enabled"
)

// longest is how long a name may be.
const longest = 253

// Key of a WorkloadEntry.
type Key struct{ Namespace, Name string }

// KeyOf a machine's entry: Istio's name, group-address or group-address-network.
// Names that are too long lose their beginning, as in Istio.
func KeyOf(m *model.Machine) Key {
	name := m.Group + "-" + strings.ReplaceAll(m.Address.Unmap().String(), ":", "-")
	if strings.HasSuffix(name, "-") {
		name += "0" // an IPv6 address may end with colons, a name can't end so
	}
	if m.Network != "" {
		name += "-" + string(m.Network)
	}
	if len(name) > longest {
		name = strings.TrimLeft(name[len(name)-longest:], "-.")
	}
	return Key{m.Namespace, name}
}

// Registered is true for an entry that was made for a machine of a group: it says
// so, and the group owns it.
func Registered(e *networking.WorkloadEntry) bool {
	group := e.Annotations[GroupAnnotation]
	owner := metav1.GetControllerOfNoCopy(e)
	return group != "" && owner != nil && owner.Kind == "WorkloadGroup" && owner.Name == group
}

// Find an object among such that are sorted by namespace and name; the zero
// value when it isn't there.
func Find[T metav1.Object](sorted []T, k Key) (found T) {
	i, ok := slices.BinarySearchFunc(sorted, k, func(o T, k Key) int {
		return cmp.Or(cmp.Compare(o.GetNamespace(), k.Namespace), cmp.Compare(o.GetName(), k.Name))
	})
	if ok {
		found = sorted[i]
	}
	return found
}
