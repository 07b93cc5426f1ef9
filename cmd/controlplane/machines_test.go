// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statusproto "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
)

const healthURL = "type.googleapis.com/istio.v1.HealthInformation"

// machine is a stream of a proxy outside of the cluster that registers with a group.
type machine struct {
	t      *testing.T
	stream deltaStream
	node   *corev3.Node
	end    func()
	ended  chan error
}

// outside is a machine of a namespace, with a service account, at an address.
func (cp *controlPlane) outside(t *testing.T, namespace, account, group, address string) *machine {
	t.Helper()
	meta, err := structpb.NewStruct(map[string]any{
		"NAMESPACE": namespace, "SERVICE_ACCOUNT": account, "CLUSTER_ID": "Kubernetes", "AUTO_REGISTER_GROUP": group,
		"LABELS": map[string]any{"app": "forged", "rack": "r7"},
	})
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, ended: make(chan error, 1), node: &corev3.Node{
		Id: fmt.Sprintf("sidecar~%[1]s~a-host.%[2]s~%[2]s.svc.cluster.local", address, namespace), Metadata: meta,
	}}
	m.stream, m.end = cp.ads(t, namespace, account)
	t.Cleanup(m.end)
	go func() {
		for {
			if _, err := m.stream.Recv(); err != nil {
				m.ended <- err
				return
			}
		}
	}()
	return m
}

func (m *machine) send(r *discoveryv3.DeltaDiscoveryRequest) {
	m.t.Helper()
	r.Node, m.node = m.node, nil
	if err := m.stream.Send(r); err != nil {
		m.t.Fatal(err)
	}
}

// configured asks for what an Envoy asks for.
func (m *machine) configured() *machine {
	m.t.Helper()
	m.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.ClusterType, ResourceNamesSubscribe: []string{"*"}})
	return m
}

// reports health: healthy without a message.
func (m *machine) reports(message string) *machine {
	m.t.Helper()
	r := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: healthURL}
	if message != "" {
		r.ErrorDetail = &statusproto.Status{Code: 500, Message: message}
	}
	m.send(r)
	return m
}

// refused waits for the end of the stream, with a code and a part of its message.
func (m *machine) refused(code codes.Code, part string) {
	m.t.Helper()
	select {
	case err := <-m.ended:
		if s := status.Convert(err); s.Code() != code || !strings.Contains(s.Message(), part) {
			m.t.Errorf("the stream ends with %v, want %s: %q", err, code, part)
		}
	case <-time.After(patience):
		m.t.Error("the stream isn't refused")
	}
}

// entry of a name; nil when there is none.
func (cp *controlPlane) entry(t *testing.T, name string) *unstructured.Unstructured {
	t.Helper()
	api, name := cp.object(t, "WorkloadEntry", name)
	u, err := api.Get(t.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// machineTown makes a namespace with a group, a Service that selects its machines,
// and a client that calls it.
func (cp *controlPlane) machineTown(t *testing.T, ns, probe string) *picky {
	t.Helper()
	cp.pod(t, ns, "client", "10.1.2.9", "{app: client}", withSidecar)
	cp.apply(t, fmt.Sprintf(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: db, namespace: %[1]s}}
---
{apiVersion: v1, kind: Service, metadata: {name: mysql, namespace: %[1]s}, spec: {selector: {app: db}, ports: [{name: tcp, port: 3306}]}}
---
{apiVersion: networking.istio.io/v1, kind: WorkloadGroup, metadata: {name: vms, namespace: %[1]s}, spec: {metadata: {labels: {app: db}}, template: {serviceAccount: db, ports: {tcp: 3307}}%[2]s}}
`, ns, probe))
	s := cp.picky(t, ns, nil)
	s.inForce(t, "outbound|3306||mysql."+ns, "")
	// The group was read when an entry that was made after it is in the mesh.
	cp.apply(t, fmt.Sprintf(`{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: by-hand, namespace: %s, labels: {app: db}}, spec: {address: 10.9.9.9, ports: {tcp: 3307}}}`, ns))
	s.inForce(t, "10.9.9.9", "")
	eventually(t, func() string { return cp.groupKnown(t, ns) })
	return s
}

// groupKnown is "" when the control plane admits machines of the group.
func (cp *controlPlane) groupKnown(t *testing.T, ns string) string {
	t.Helper()
	// A machine that it refuses anyhow is refused for its account as soon as there is
	// a group to compare that with; one that it admits would get no answer to wait for.
	m := cp.outside(t, ns, "client", "vms", "10.9.9.1")
	defer m.end()
	m.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.RuntimeType})
	select {
	case err := <-m.ended:
		if status.Code(err) == codes.PermissionDenied {
			return ""
		}
		return err.Error()
	case <-time.After(patience):
		return "the stream isn't refused"
	}
}

// untouched: nobody but the test has written anything but what is wrong with it.
func (cp *controlPlane) untouched(t *testing.T, name string) {
	t.Helper()
	for _, f := range cp.entry(t, name).GetManagedFields() {
		if f.Manager != "test" && f.Manager != "isthmesh-problems" {
			t.Errorf("WorkloadEntry %s, which somebody wrote, was written to by %s", name, f.Manager)
		}
	}
}

const tcpProbe = ", probe: {tcpSocket: {port: 3306}}"

// TestMachineRegisters: a machine has a WorkloadEntry as long as its Envoy is
// connected, and gets calls as long as it is healthy.
func TestMachineRegisters(t *testing.T) {
	cp := theControlPlane(t)
	const ns, name = "machines", "machines/vms-10.77.0.7"
	s := cp.machineTown(t, ns, tcpProbe)

	// Its agent comes first. Health alone registers nothing.
	agent := cp.outside(t, ns, "db", "vms", "10.77.0.7").reports("")
	m := cp.outside(t, ns, "db", "vms", "10.77.0.7").configured()
	t.Logf("it is called after %v", s.inForce(t, "10.77.0.7 3307 spiffe://cluster.local/ns/"+ns+"/sa/db", ""))
	e := cp.entry(t, name)
	if got := fmt.Sprint(e.GetLabels(), e.Object["spec"]); got != "map[app:db rack:r7] map[address:10.77.0.7 labels:map[app:db rack:r7] ports:map[tcp:3307] serviceAccount:db]" {
		t.Errorf("got %s", got)
	}
	if o := metav1.GetControllerOf(e); o == nil || o.Kind != "WorkloadGroup" || o.Name != "vms" {
		t.Errorf("owners are %v", e.GetOwnerReferences())
	}
	t.Logf("it isn't called any more after %v", func() time.Duration {
		agent.reports("nobody answers")
		return s.inForce(t, "10.9.9.9", "10.77.0.7")
	}())
	eventually(t, func() string {
		if e := cp.entry(t, name); !strings.Contains(fmt.Sprint(e.Object["status"]), "nobody answers") {
			return fmt.Sprintf("its status is %v", e.Object["status"])
		}
		return ""
	})
	agent.reports("")
	s.inForce(t, "10.77.0.7", "")

	// The end of the agent's stream is no news; that of Envoy's is.
	away := time.Now()
	agent.end()
	m.end()
	eventuallyUntil(t, away.Add(patience), func() string {
		e := cp.entry(t, name)
		if e == nil {
			return ""
		}
		if e.GetAnnotations()["istio.io/disconnectedAt"] == "" && e.GetAnnotations()["istio.io/connectedAt"] == "" {
			t.Errorf("annotations are %v", e.GetAnnotations())
		}
		return "the entry of a machine that is gone is there"
	})
	if gone := time.Since(away); gone < grace {
		t.Errorf("the entry went after %v, which is before the grace", gone)
	}
	s.inForce(t, "10.9.9.9", "10.77.0.7")
	cp.untouched(t, ns+"/by-hand")
	cp.alive(t)
}

// TestMachineWithoutProbe gets calls at once. While it is away for less than the
// grace its entry stays, also when it comes back to another replica, and when the
// replica that had it ends.
func TestMachineWithoutProbe(t *testing.T) {
	cp := theControlPlane(t)
	const ns, name = "movers", "movers/vms-10.77.0.8"
	s := cp.machineTown(t, ns, "")
	first := cp.outside(t, ns, "db", "vms", "10.77.0.8").configured()
	s.inForce(t, "10.77.0.8", "")
	uid := cp.entry(t, name).GetUID()
	controlledBy := func(pod string) {
		t.Helper()
		eventually(t, func() string {
			e := cp.entry(t, name)
			if e == nil || e.GetUID() != uid {
				t.Fatalf("the entry went: %v", e)
			}
			a := e.GetAnnotations()
			if !strings.HasPrefix(a["istio.io/workloadController"], "istio-system/"+pod+"/") || a["istio.io/connectedAt"] == "" || a["istio.io/disconnectedAt"] != "" {
				return fmt.Sprintf("annotations are %v, want it to be connected to %s", a, pod)
			}
			return ""
		})
	}
	controlledBy("istiod-0")
	other := cp.another(t, "istiod-7")
	// Its stream is open before: what takes long is not to take the grace.
	second := other.outside(t, ns, "db", "vms", "10.77.0.8")
	first.end()
	eventually(t, func() string {
		e := cp.entry(t, name)
		if e == nil {
			t.Fatal("the entry went")
		}
		if a := e.GetAnnotations(); a["istio.io/disconnectedAt"] == "" {
			return fmt.Sprintf("annotations are %v", a)
		}
		return ""
	})
	second.configured()
	controlledBy("istiod-7")
	// The replica ends; nobody says that the machine has left. It comes back.
	other.stop()
	second.refused(codes.Unavailable, "")
	cp.outside(t, ns, "db", "vms", "10.77.0.8").configured()
	controlledBy("istiod-0")
	s.inForce(t, "10.77.0.8", "")
	cp.alive(t)
}

// TestForeignMachines get no entry, and are told why.
func TestForeignMachines(t *testing.T) {
	cp := theControlPlane(t)
	const ns = "strangers"
	s := cp.machineTown(t, ns, "")
	cp.apply(t, fmt.Sprintf(`{apiVersion: v1, kind: Namespace, metadata: {name: robbers}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: db, namespace: robbers}}
---
{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: vms-10.0.1.6, namespace: %[1]s, labels: {app: theirs}}, spec: {address: 10.0.1.6, serviceAccount: other}}
---
{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: vms-10.0.1.8, namespace: %[1]s, labels: {app: db}, annotations: {proxy.istio.io/health-checks-enabled: "false"}}, spec: {address: 10.0.1.8, serviceAccount: db}}
`, ns))
	s.inForce(t, "10.0.1.8", "") // both entries are known: a machine that comes before its entry would be admitted
	cp.outside(t, ns, "client", "vms", "10.0.1.1").configured().refused(codes.PermissionDenied, `takes machines with service account "db", and the credential is for "client"`)
	cp.outside(t, ns, "db", "nobody", "10.0.1.2").configured().refused(codes.FailedPrecondition, "there is no WorkloadGroup strangers/nobody")
	cp.outside(t, ns, "db", "vms", "127.0.0.1").configured().refused(codes.InvalidArgument, "ISTIO_SVC_IP")
	// The namespace is the credential's: its own has no such group.
	cp.outside(t, "robbers", "db", "vms", "10.0.1.4").configured().refused(codes.FailedPrecondition, "there is no WorkloadGroup robbers/vms")
	liar := cp.outside(t, "robbers", "db", "vms", "10.0.1.5")
	liar.node.Id = "sidecar~10.0.1.5~a-host.strangers~strangers.svc.cluster.local"
	liar.node.Metadata.Fields["NAMESPACE"] = structpb.NewStringValue(ns)
	liar.configured().refused(codes.PermissionDenied, `"strangers", but the credential is for "robbers"`)
	// An entry that somebody wrote for another account is nobody else's.
	cp.outside(t, ns, "db", "vms", "10.0.1.6").configured().refused(codes.PermissionDenied, `has service account "other"`)
	// One that somebody wrote for the machine is as it was written.
	cp.outside(t, ns, "db", "vms", "10.0.1.8").configured().reports("nobody asked")
	// Who may, may all the same.
	cp.outside(t, ns, "db", "vms", "10.0.1.7").configured()
	s.inForce(t, "10.0.1.7", "10.0.1.1 10.0.1.2 10.0.1.4 10.0.1.5 10.0.1.6")
	for _, name := range []string{"strangers/vms-10.0.1.1", "strangers/nobody-10.0.1.2", "robbers/vms-10.0.1.4", "strangers/vms-10.0.1.5", "strangers/vms-127.0.0.1"} {
		if cp.entry(t, name) != nil {
			t.Errorf("%s was made", name)
		}
	}
	cp.untouched(t, ns+"/vms-10.0.1.6")
	cp.untouched(t, ns+"/vms-10.0.1.8")
	cp.alive(t)
}
