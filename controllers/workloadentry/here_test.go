// SPDX-License-Identifier: Apache-2.0

package workloadentry

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	networkingapi "istio.io/api/networking/v1alpha3"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/registration"
)

// second n of the tests' time.
func second(n int) time.Time { return time.Unix(1_800_000_000+int64(n), 0) }

// TestHere plays what the streams of one machine say, one word each: "a=2" is that a is
// configured since second 2, "a=+2" and "a=-2" that it then says that it is healthy or not,
// "a=left" its end. Wanted is whose machine counts, since when, and the health.
func TestHere(t *testing.T) {
	for name, test := range map[string]struct{ script, want string }{
		"Nobody":               {"", "- 0  serves false"},
		"Configured":           {"a=1", "a 1  serves true"},
		"OnlyHealth":           {"a=+1", "a 0 +1 serves false"},
		"Both":                 {"a=1 a=-2", "a 1 -2 serves true"},
		"Beside":               {"a=1 b=+2", "a 1 +2 serves true"},
		"BesideFirst":          {"b=+1 a=2", "a 2 +1 serves true"},
		"NewestCounts":         {"a=1 b=3 c=2", "b 3  serves true"},
		"NewestReport":         {"a=1 a=-2 b=+4 c=-3", "a 1 +4 serves true"},
		"OneLeaves":            {"a=1 b=2 b=left", "a 1  serves true"},
		"ReportLeaves":         {"a=1 b=-2 b=left", "a 1  serves true"},
		"TheConfiguredLeaves":  {"a=1 b=+2 a=left", "b 0 +2 serves false"},
		"AllLeave":             {"a=1 b=2 a=left b=left", "- 0  serves false"},
		"LeavesThatNeverCame":  {"a=left b=1", "b 1  serves true"},
		"LeavesTwiceComesBack": {"a=1 a=left a=left a=5", "a 5  serves true"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Registrar{Replica: "ns/pod/run"}
			r.start()
			defer r.queue.ShutDown()
			machines, streams := map[string]*model.Machine{}, map[string]*model.MachineStream{}
			var key registration.Key
			for _, word := range strings.Fields(test.script) {
				who, says, _ := strings.Cut(word, "=")
				if machines[who] == nil {
					machines[who] = &model.Machine{Namespace: "shop", Group: "vms", Address: netip.MustParseAddr("10.0.0.1")}
					streams[who] = &model.MachineStream{}
					key = registration.KeyOf(machines[who])
				}
				if says == "left" {
					r.Says(machines[who], nil)
					streams[who] = &model.MachineStream{}
					continue
				}
				n, err := strconv.Atoi(strings.TrimLeft(says, "+-"))
				if err != nil {
					t.Fatal(err)
				}
				next := *streams[who]
				if says[0] == '+' || says[0] == '-' {
					next.Health = &model.MachineHealth{Healthy: says[0] == '+', At: second(n)}
				} else {
					next.Configured = second(n)
				}
				streams[who] = &next
				r.Says(machines[who], &next)
			}
			// Maps have no order: what counts must not hang on it.
			for range 20 {
				if got := hereText(r.here(key), machines) + fmt.Sprintf(" serves %t", r.Serves()); got != test.want {
					t.Fatalf("got %q, want %q", got, test.want)
				}
			}
			if test.script != "" && r.queue.Len() != 1 {
				t.Errorf("%d entries are to be looked at", r.queue.Len())
			}
		})
	}
}

func hereText(h registration.Here, machines map[string]*model.Machine) string {
	who := "-"
	for name, m := range machines {
		if h.Machine == m {
			who = name
		}
	}
	since, health := int64(0), ""
	if !h.Since.IsZero() {
		since = h.Since.Unix() - second(0).Unix()
	}
	if h.Health != nil {
		health = map[bool]string{true: "+", false: "-"}[h.Health.Healthy] + strconv.FormatInt(h.Health.At.Unix()-second(0).Unix(), 10)
	}
	return fmt.Sprintf("%s %d %s", who, since, health)
}

// TestAdmitCodes: by the code a proxy's agent and its user know whether to wait, to mend
// the group, or the machine.
func TestAdmitCodes(t *testing.T) {
	group := &networking.WorkloadGroup{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "vms"}, Spec: networkingapi.WorkloadGroup{Template: &networkingapi.WorkloadEntry{ServiceAccount: "db"}},
	}
	known := Objects{Groups: []*networking.WorkloadGroup{group}, Known: true}
	machine := func(change func(*model.Machine)) *model.Machine {
		m := &model.Machine{Namespace: "shop", ServiceAccount: "db", Group: "vms", Address: netip.MustParseAddr("10.0.0.1")}
		change(m)
		return m
	}
	for name, test := range map[string]struct {
		objects Objects
		machine *model.Machine
		code    codes.Code
	}{
		"LetIn":        {known, machine(func(*model.Machine) {}), codes.OK},
		"NotReadYet":   {Objects{}, machine(func(*model.Machine) {}), codes.Unavailable},
		"NoGroup":      {known, machine(func(m *model.Machine) { m.Group = "none" }), codes.FailedPrecondition},
		"OtherAccount": {known, machine(func(m *model.Machine) { m.ServiceAccount = "web" }), codes.PermissionDenied},
		"NoAddress":    {known, machine(func(m *model.Machine) { m.Address = netip.Addr{} }), codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Registrar{Objects: func() Objects { return test.objects }, Metrics: NewMetrics(nil)}
			if _, err := r.Admit(test.machine); status.Code(err) != test.code {
				t.Errorf("got %v, want %s", err, test.code)
			}
		})
	}
}

// TestHeard: a replica was last there when the leader saw its Lease change, by the
// leader's own clock; one without any when it was first asked for.
func TestHeard(t *testing.T) {
	lease := func(name, holder, version, label string) *coordinationv1.Lease {
		l := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, ResourceVersion: version}}
		l.Labels = map[string]string{label: "true"}
		if holder != "" {
			l.Spec.HolderIdentity = &holder
		}
		return l
	}
	api := fake.NewClientset(
		lease("same", "ns/same/1", "5", pulseLabel), lease("changed", "ns/changed/1", "6", pulseLabel), lease("new", "ns/new/1", "7", pulseLabel),
		lease("another-run", "ns/again/2", "8", pulseLabel), lease("nobodys", "", "9", pulseLabel), lease("other", "ns/other/1", "10", "example.com/other"),
	)
	before := pulses{
		"ns/same/1": {"5", second(1)}, "ns/changed/1": {"5", second(1)}, "ns/again/1": {"7", second(1)}, "ns/gone/1": {"4", second(1)}, "ns/forgotten/1": {"4", second(1)},
		"ns/other/1": {"", second(1)},
	}
	named := map[string]bool{}
	for _, r := range []string{"same", "changed", "new", "again", "gone", "none", "other"} {
		named["ns/"+r+"/1"] = true
	}
	got, err := before.heard(t.Context(), api, "ns", named, second(9))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"same": 1, "changed": 9, "new": 9, "again": 1, "gone": 1, "none": 9, "other": 1}
	for name, n := range want {
		if p := got["ns/"+name+"/1"]; p.when != second(n) {
			t.Errorf("%s was there at %v, want %v", name, p.when, second(n))
		}
	}
	if len(got) != len(want) {
		t.Errorf("heard %v", got)
	}
	ours := isOurs("ns")
	for replica, want := range map[string]bool{"ns/pod/1": true, "ns2/pod/1": false, "istiod-5d8f": false, "": false} {
		if ours(replica) != want {
			t.Errorf("%q is ours: %t", replica, !want)
		}
	}
}
