// SPDX-License-Identifier: Apache-2.0

package registration_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	networkingapi "istio.io/api/networking/v1alpha3"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/registration"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)

// aMachine of a group that aGroup is.
func aMachine(change ...func(*model.Machine)) *model.Machine {
	m := &model.Machine{
		Namespace: "shop", ServiceAccount: "db", Group: "vms", Address: netip.MustParseAddr("10.0.0.7"),
		Labels: map[string]string{"app": "forged", "rack": "r7"},
	}
	for _, do := range change {
		do(m)
	}
	return m
}

func aGroup(change ...func(*networking.WorkloadGroup)) *networking.WorkloadGroup {
	g := &networking.WorkloadGroup{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "vms", UID: "u1"},
		Spec: networkingapi.WorkloadGroup{
			Metadata: &networkingapi.WorkloadGroup_ObjectMeta{Labels: map[string]string{"app": "db"}, Annotations: map[string]string{"example.com/a": "b"}},
			Template: &networkingapi.WorkloadEntry{ServiceAccount: "db", Ports: map[string]uint32{"tcp": 3306}, Weight: 3},
		},
	}
	for _, do := range change {
		do(g)
	}
	return g
}

// byHand is an entry that somebody wrote, with the name of the machine's.
func byHand() *networking.WorkloadEntry {
	return &networking.WorkloadEntry{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "vms-10.0.0.7"}, Spec: networkingapi.WorkloadEntry{Address: "10.0.0.7"}}
}

// TestAdmit: which machines are let in, and what the others are told.
func TestAdmit(t *testing.T) {
	of := func(account string) func(*model.Machine) {
		return func(m *model.Machine) { m.ServiceAccount = account }
	}
	at := func(address string) func(*model.Machine) {
		return func(m *model.Machine) { m.Address = netip.MustParseAddr(address) }
	}
	entry := registration.Entry(aMachine(), aGroup(), "a", epoch)
	for name, c := range map[string]struct {
		machine *model.Machine
		group   *networking.WorkloadGroup
		entry   *networking.WorkloadEntry
		reason  registration.Reason
		says    string
	}{
		"Fits":      {machine: aMachine(), group: aGroup()},
		"ComesBack": {machine: aMachine(), group: aGroup(), entry: entry},
		"ByHand":    {machine: aMachine(), entry: byHand()},
		"NoGroup":   {machine: aMachine(), reason: registration.NoGroup, says: "no WorkloadGroup shop/vms"},
		"NoTemplate": {
			machine: aMachine(), group: aGroup(func(g *networking.WorkloadGroup) { g.Spec.Template = nil }),
			reason: registration.NoGroup, says: "add spec.template",
		},
		"OtherAccount": {machine: aMachine(of("web")), group: aGroup(), reason: registration.Denied, says: `takes machines with service account "db", and the credential is for "web"`},
		"NoAccountIsDefault": {
			machine: aMachine(of("default")), group: aGroup(func(g *networking.WorkloadGroup) { g.Spec.Template.ServiceAccount = "" }),
		},
		"NoAccountIsNotAny": {
			machine: aMachine(), group: aGroup(func(g *networking.WorkloadGroup) { g.Spec.Template.ServiceAccount = "" }),
			reason: registration.Denied, says: `service account "default"`,
		},
		"EntryOfAnotherAccount": {
			machine: aMachine(of("web")), group: aGroup(func(g *networking.WorkloadGroup) { g.Spec.Template.ServiceAccount = "web" }), entry: entry,
			reason: registration.Denied, says: "WorkloadEntry shop/vms-10.0.0.7 is of service account \"db\"",
		},
		"EntryOfAnotherGroup": {
			machine: aMachine(func(m *model.Machine) { m.Group = "others" }),
			group:   aGroup(func(g *networking.WorkloadGroup) { g.Name = "others" }), entry: entry,
			reason: registration.Denied, says: "rename one of the groups",
		},
		"NoName":        {machine: aMachine(func(m *model.Machine) { m.Group = "../vms" }), group: aGroup(), reason: registration.Malformed, says: "no name of a WorkloadGroup"},
		"NoAddress":     {machine: aMachine(func(m *model.Machine) { m.Address = netip.Addr{} }), group: aGroup(), reason: registration.Malformed, says: "ISTIO_SVC_IP"},
		"Loopback":      {machine: aMachine(at("127.0.0.1")), group: aGroup(), reason: registration.Malformed, says: "one machine only"},
		"MappedLoop":    {machine: aMachine(at("::ffff:127.0.0.1")), group: aGroup(), reason: registration.Malformed, says: "one machine only"},
		"CloudMetadata": {machine: aMachine(at("169.254.169.254")), group: aGroup(), reason: registration.Malformed, says: "one machine only"},
		"Multicast":     {machine: aMachine(at("224.0.0.9")), group: aGroup(), reason: registration.Malformed, says: "one machine only"},
		"MappedNothing": {machine: aMachine(at("::ffff:0.0.0.0")), group: aGroup(), reason: registration.Malformed, says: "no address"},
		"Unspecified":   {machine: aMachine(at("::")), group: aGroup(), reason: registration.Malformed, says: "no address"},
		"Zone":          {machine: aMachine(at("fd00::1%eth0")), group: aGroup(), reason: registration.Malformed, says: "one machine only"},
		"Network":       {machine: aMachine(func(m *model.Machine) { m.Network = "N 1" }), group: aGroup(), reason: registration.Malformed, says: "ISTIO_META_NETWORK"},
	} {
		t.Run(name, func(t *testing.T) {
			r := registration.Admit(c.machine, c.group, c.entry)
			switch {
			case r == nil && c.reason != 0:
				t.Error("it is let in")
			case r != nil && (r.Reason != c.reason || !strings.Contains(r.Message, c.says)):
				t.Errorf("it is refused: %d %s", r.Reason, r.Message)
			}
		})
	}
}

// TestRegistered: whoever copies the annotations of an entry doesn't make it a machine's.
func TestRegistered(t *testing.T) {
	owner := func(change func(*metav1.OwnerReference)) *networking.WorkloadEntry {
		e := registration.Entry(aMachine(), aGroup(), "a", epoch)
		change(&e.OwnerReferences[0])
		return e
	}
	annotated := registration.Entry(aMachine(), aGroup(), "a", epoch)
	delete(annotated.Annotations, registration.GroupAnnotation)
	for name, c := range map[string]struct {
		entry *networking.WorkloadEntry
		want  bool
	}{
		"Registered":      {owner(func(*metav1.OwnerReference) {}), true},
		"ByHand":          {byHand(), false},
		"Marked":          {marked(byHand()), false},
		"OfAnotherGroup":  {owner(func(o *metav1.OwnerReference) { o.Name = "others" }), false},
		"OfAnotherKind":   {owner(func(o *metav1.OwnerReference) { o.Kind = "ConfigMap" }), false},
		"NotItsControl":   {owner(func(o *metav1.OwnerReference) { o.Controller = nil }), false},
		"WithoutTheGroup": {annotated, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := registration.Registered(c.entry); got != c.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

// TestNames are Istio's.
func TestNames(t *testing.T) {
	for want, m := range map[string]*model.Machine{
		"vms-10.0.0.7":        aMachine(),
		"vms-10.0.0.7-n1":     aMachine(func(m *model.Machine) { m.Network = "n1" }),
		"vms-2001-db8--1":     aMachine(func(m *model.Machine) { m.Address = netip.MustParseAddr("2001:db8::1") }),
		"vms-2001-db8--0":     aMachine(func(m *model.Machine) { m.Address = netip.MustParseAddr("2001:db8::") }),
		"vms-10.0.0.8":        aMachine(func(m *model.Machine) { m.Address = netip.MustParseAddr("::ffff:10.0.0.8") }),
		"g.0-10.0.0.7-net.x1": aMachine(func(m *model.Machine) { m.Group, m.Network = "g.0", "net.x1" }),
	} {
		if got := registration.KeyOf(m); got != (registration.Key{Namespace: "shop", Name: want}) {
			t.Errorf("got %v, want %s", got, want)
		}
		if r := registration.Admit(m, aGroup(func(g *networking.WorkloadGroup) { g.Name = m.Group }), nil); r != nil {
			t.Errorf("%s: %s", want, r.Message)
		}
	}
	long := registration.KeyOf(aMachine(func(m *model.Machine) { m.Group = strings.Repeat("a", 245) + "." + strings.Repeat("b", 7) }))
	if want := strings.Repeat("b", 7) + "-10.0.0.7"; len(long.Name) > 253 || !strings.HasSuffix(long.Name, want) {
		t.Errorf("got %q", long.Name)
	}
}
