// SPDX-License-Identifier: Apache-2.0

package meshmember

import (
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/federation/trust"
)

func federation(name string, labels map[string]string) v1alpha1.MeshFederation {
	return v1alpha1.MeshFederation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec:       v1alpha1.MeshFederationSpec{MemberSelector: metav1.LabelSelector{MatchLabels: labels}},
	}
}

func TestFederationOf(t *testing.T) {
	shop, all, bank := federation("shop", map[string]string{"mesh": "shop"}), federation("all", nil), federation("bank", map[string]string{"mesh": "bank"})
	other := shop
	other.Namespace = "other"
	ending := shop
	ending.DeletionTimestamp = &metav1.Time{Time: now}
	tests := map[string]struct {
		federations []v1alpha1.MeshFederation
		current     string
		want        string
		reason      string
	}{
		"One":          {federations: []v1alpha1.MeshFederation{shop, bank}, want: "shop"},
		"None":         {federations: []v1alpha1.MeshFederation{bank, other, ending}, reason: v1alpha1.ReasonNoFederation},
		"Two":          {federations: []v1alpha1.MeshFederation{shop, all}, reason: v1alpha1.ReasonFederationConflict},
		"TwoButIn":     {federations: []v1alpha1.MeshFederation{shop, all}, current: "all", want: "all"},
		"InAnother":    {federations: []v1alpha1.MeshFederation{shop, bank}, current: "bank", want: "shop"},
		"NothingThere": {reason: v1alpha1.ReasonNoFederation},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := west(v1alpha1.MemberTrustStatus{})
			m.Status.Federation = test.current
			got, problem := FederationOf(m, test.federations)
			if (got == nil) != (test.want == "") || got != nil && got.Name != test.want {
				t.Errorf("got %v, want %q", got, test.want)
			}
			if (problem == nil) != (test.reason == "") || problem != nil && problem.Reason != test.reason {
				t.Errorf("problem %v, want %q", problem, test.reason)
			}
		})
	}
}

func TestAlreadyMember(t *testing.T) {
	member := func(name, cluster string, age time.Duration) v1alpha1.MeshMember {
		return v1alpha1.MeshMember{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name), CreationTimestamp: metav1.Time{Time: now.Add(-age)}},
			Status:     v1alpha1.MeshMemberStatus{ClusterUID: cluster},
		}
	}
	old, young, twin := member("old", "c1", time.Hour), member("young", "c1", time.Minute), member("twin", "c1", time.Minute)
	foreign := member("foreign", "c2", time.Hour)
	all := []v1alpha1.MeshMember{twin, young, old, foreign}
	for name, test := range map[string]struct {
		member v1alpha1.MeshMember
		among  []v1alpha1.MeshMember
		want   string
	}{
		"OldestWins":    {old, all, ""},
		"YoungerLoses":  {young, []v1alpha1.MeshMember{young, old}, `"old"`},
		"SameAgeByName": {young, []v1alpha1.MeshMember{young, twin}, `"twin"`},
		"SameAgeFirst":  {twin, []v1alpha1.MeshMember{young, twin}, ""},
		"OtherCluster":  {foreign, all, ""},
	} {
		err := alreadyMember(&test.member, test.member.Status.ClusterUID, test.among)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
	r := &Reconciler{HubID: "h1"}
	for owner, want := range map[string]bool{
		r.owner(&old): false, r.owner(&twin): true, "hub h1, MeshMember default/deleted": true, "hub h2, MeshMember default/deleted": false, "someone": false, "isthmesh-cli-mesh": true,
	} {
		if got := r.takesOver(owner, &scope{member: &young, others: []v1alpha1.MeshMember{old, {ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "twin", CreationTimestamp: metav1.Time{Time: now}}}}}); got != want {
			t.Errorf("takesOver(%q) = %v", owner, got)
		}
	}
}

func TestAddressOf(t *testing.T) {
	service := func(kind corev1.ServiceType, ingress ...corev1.LoadBalancerIngress) *corev1.Service {
		return &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: gatewayName},
			Spec: corev1.ServiceSpec{Type: kind, Ports: []corev1.ServicePort{
				{Name: "status-port", Port: 15021}, {Name: "tls", Port: 15443, NodePort: 30443},
			}},
			Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: ingress}},
		}
	}
	node := func(ready corev1.ConditionStatus, addresses ...corev1.NodeAddress) corev1.Node {
		return corev1.Node{Status: corev1.NodeStatus{Addresses: addresses, Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}}}
	}
	internal := func(a string) corev1.NodeAddress { return corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a} }
	external := func(a string) corev1.NodeAddress { return corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: a} }
	noPort := service(corev1.ServiceTypeLoadBalancer, corev1.LoadBalancerIngress{IP: "192.0.2.1"})
	noPort.Spec.Ports = noPort.Spec.Ports[:1]
	tests := map[string]struct {
		service *corev1.Service
		nodes   []corev1.Node
		port    int32
		want    []string
	}{
		"LoadBalancerIP":    {service: service(corev1.ServiceTypeLoadBalancer, corev1.LoadBalancerIngress{IP: "192.0.2.9"}, corev1.LoadBalancerIngress{IP: "192.0.2.10"}, corev1.LoadBalancerIngress{IP: "192.0.2.9"}), want: []string{"192.0.2.9:15443", "192.0.2.10:15443"}},
		"LoadBalancerName":  {service: service(corev1.ServiceTypeLoadBalancer, corev1.LoadBalancerIngress{Hostname: "lb.example"}), want: []string{"lb.example:15443"}},
		"LoadBalancerIPv6":  {service: service(corev1.ServiceTypeLoadBalancer, corev1.LoadBalancerIngress{IP: "2001:db8::1"}), want: []string{"[2001:db8::1]:15443"}},
		"OtherPort":         {service: service(corev1.ServiceTypeLoadBalancer, corev1.LoadBalancerIngress{IP: "192.0.2.9"}), port: 443, want: []string{"192.0.2.9:443"}},
		"Pending":           {service: service(corev1.ServiceTypeLoadBalancer)},
		"NoPort":            {service: noPort},
		"ClusterIP":         {service: service(corev1.ServiceTypeClusterIP)},
		"NodePort":          {service: service(corev1.ServiceTypeNodePort), nodes: []corev1.Node{node(corev1.ConditionTrue, internal("10.0.0.2")), node(corev1.ConditionFalse, internal("10.0.0.1")), node(corev1.ConditionTrue, internal("10.0.0.3"))}, want: []string{"10.0.0.2:30443", "10.0.0.3:30443"}},
		"NodePortExternal":  {service: service(corev1.ServiceTypeNodePort), nodes: []corev1.Node{node(corev1.ConditionTrue, internal("10.0.0.2"), external("192.0.2.2"))}, want: []string{"192.0.2.2:30443"}},
		"NodePortNoneReady": {service: service(corev1.ServiceTypeNodePort), nodes: []corev1.Node{node(corev1.ConditionFalse, internal("10.0.0.1"))}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := addressOf(test.service, test.nodes, test.port)
			if diff := cmp.Diff(test.want, got.Found); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if (got.Problem == nil) != (test.want != nil) || got.Problem != nil && got.Problem.Reason != v1alpha1.ReasonGatewayAddressPending {
				t.Errorf("problem %+v", got.Problem)
			}
		})
	}
}

// TestOwnAddress: of two members at one address the older keeps it.
func TestOwnAddress(t *testing.T) {
	at := func(name string, age time.Duration, federation string, addresses ...string) v1alpha1.MeshMember {
		return v1alpha1.MeshMember{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), CreationTimestamp: metav1.Time{Time: now.Add(-age)}},
			Status:     v1alpha1.MeshMemberStatus{Federation: federation, Gateway: v1alpha1.GatewayStatus{Addresses: addresses}},
		}
	}
	found := &Address{Found: []string{"192.0.2.1:15443", "192.0.2.2:15443"}}
	member := at("west", time.Hour, "shop", "192.0.2.1:15443")
	for name, test := range map[string]struct {
		other v1alpha1.MeshMember
		taken bool
	}{
		"Itself":          {member, false},
		"Older":           {at("east", 2*time.Hour, "shop", "192.0.2.2:15443"), true},
		"Younger":         {at("east", time.Minute, "shop", "192.0.2.2:15443"), false},
		"OtherPort":       {at("east", 2*time.Hour, "shop", "192.0.2.2:443"), false},
		"OtherFederation": {at("east", 2*time.Hour, "depot", "192.0.2.2:15443"), false},
	} {
		t.Run(name, func(t *testing.T) {
			got := ownAddress(found, &member, []v1alpha1.MeshMember{test.other})
			if (got.Problem != nil) != test.taken || (len(got.Found) == 0) != test.taken {
				t.Errorf("got %+v, taken should be %v", got, test.taken)
			}
		})
	}
}

func TestNotUp(t *testing.T) {
	waiting := func(reason string) corev1.Pod {
		return corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			Name: "discovery", Image: "isthmesh/istiod:v9", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "no such key"}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 1}},
		}}}}
	}
	unschedulable := corev1.Pod{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/1 nodes are available: 1 Insufficient cpu.",
	}}}}
	leaving := waiting("ErrImagePull")
	leaving.DeletionTimestamp = &metav1.Time{Time: now}
	const about = "Deployment istio-system/istiod has 0 of 2 replicas available"
	two := int32(2)
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: "istiod"}, Spec: appsv1.DeploymentSpec{Replicas: &two}}
	refused := d.DeepCopy()
	refused.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: "exceeded quota"}}
	rolling := d.DeepCopy()
	rolling.Status.AvailableReplicas = 2
	tests := map[string]struct {
		deployment *appsv1.Deployment
		pods       []corev1.Pod
		want       Component
	}{
		"Starting": {deployment: d, pods: []corev1.Pod{{}}, want: Component{Waiting: about}},
		"Leaving":  {deployment: d, pods: []corev1.Pod{leaving}, want: Component{Waiting: about}},
		"Rolling":  {deployment: rolling, want: Component{Waiting: "Deployment istio-system/istiod has 2 of 2 replicas available: Updated: 1/2"}},
		"Image": {deployment: d, pods: []corev1.Pod{unschedulable, waiting("CrashLoopBackOff"), waiting("ImagePullBackOff")}, want: Component{Problem: &Problem{
			v1alpha1.ReasonImagePullFailed,
			about + ": its nodes can't get image isthmesh/istiod:v9: check global.hub, global.tag and global.imagePullSecrets in the federation's values",
		}}},
		"Crash": {deployment: d, pods: []corev1.Pod{waiting("CrashLoopBackOff")}, want: Component{Problem: &Problem{
			v1alpha1.ReasonCrashing,
			about + ": container discovery ends again and again (Error, exit code 1): `kubectl logs` of the pod tells why",
		}}},
		"Config": {deployment: d, pods: []corev1.Pod{waiting("CreateContainerConfigError")}, want: Component{Problem: &Problem{
			v1alpha1.ReasonCrashing,
			about + ": container discovery can't be started: no such key",
		}}},
		"Unschedulable": {deployment: d, pods: []corev1.Pod{unschedulable}, want: Component{Problem: &Problem{
			v1alpha1.ReasonUnschedulable,
			about + ": no node takes a pod: 0/1 nodes are available: 1 Insufficient cpu.",
		}}},
		"Quota": {deployment: refused, want: Component{Problem: &Problem{v1alpha1.ReasonInstallFailed, about + ": its pods are refused: exceeded quota"}}},
	}
	for name, test := range tests {
		if diff := cmp.Diff(&test.want, notUp(test.deployment, test.pods, "Updated: 1/2")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestNeedsToken(t *testing.T) {
	root := &trust.Root{Certificate: &x509.Certificate{Raw: []byte("root"), SerialNumber: big.NewInt(1)}}
	at := func(d time.Duration) *metav1.Time { return &metav1.Time{Time: now.Add(d)} }
	good := v1alpha1.MemberTrustStatus{IntermediateSerial: "1", IntermediateNotAfter: at(time.Hour), RootFingerprint: trust.Fingerprint(root.Certificate), EnrolledAt: at(-time.Hour)}
	change := func(f func(*v1alpha1.MemberTrustStatus)) v1alpha1.MemberTrustStatus {
		out := good
		f(&out)
		return out
	}
	enrolment := map[string][]byte{"member": []byte("west")}
	tests := map[string]struct {
		trust     v1alpha1.MemberTrustStatus
		enrolment map[string][]byte
		ca        bool
		want      bool
	}{
		"Enrolled":      {good, enrolment, true, false},
		"Never":         {v1alpha1.MemberTrustStatus{}, enrolment, false, true},
		"Expired":       {change(func(s *v1alpha1.MemberTrustStatus) { s.IntermediateNotAfter = at(0) }), enrolment, true, true},
		"OtherRoot":     {change(func(s *v1alpha1.MemberTrustStatus) { s.RootFingerprint = "another" }), enrolment, true, true},
		"SecretDeleted": {good, nil, true, true},
		"TokenIsOut": {change(func(s *v1alpha1.MemberTrustStatus) {
			s.EnrolmentTokenHash, s.EnrolmentTokenNotAfter = "x", at(time.Hour)
		}), enrolment, true, true},
		"TokenWasUnused": {change(func(s *v1alpha1.MemberTrustStatus) {
			s.EnrolmentTokenHash, s.EnrolmentTokenNotAfter = "x", at(time.Minute)
		}), enrolment, true, false},
		"CALost":          {good, enrolment, false, true},
		"CANotYetWritten": {change(func(s *v1alpha1.MemberTrustStatus) { s.EnrolledAt = at(-time.Second) }), enrolment, false, false},
	}
	for name, test := range tests {
		if got := needsToken(test.trust, root, test.enrolment, test.ca, now); got != test.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// TestValues: users set what they like, but not who the member is.
func TestValues(t *testing.T) {
	p := place{member: "west", meshID: "shop", network: "n1", trustDomain: "west.shop.example", locality: v1alpha1.Locality{Region: "eu"}}
	raw := &apiextensionsv1.JSON{Raw: []byte(`{"replicaCount":3,"global":{"tag":"v2","network":"mine"},"meshConfig":{"trustDomain":"stolen","accessLogFile":"/dev/stdout"},"federation":{"enabled":false}}`)}
	got, err := controlPlaneValues(p, Images{Hub: "registry.example/isthmesh", Tag: "v1"}, v1alpha1.Component{Values: raw})
	if err != nil {
		t.Fatal(err)
	}
	want := object{
		"replicaCount": int64(3), "revision": "",
		"global": object{
			"hub": "registry.example/isthmesh", "tag": "v2", "istioNamespace": "istio-system", "meshID": "shop", "network": "n1",
			"multiCluster": object{"clusterName": "west"}, "locality": object{"region": "eu", "zone": ""},
		},
		"meshConfig": object{"trustDomain": "west.shop.example", "accessLogFile": "/dev/stdout"},
		"federation": object{"enabled": true, "gatewayChecks": object{"enabled": true}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("control plane (-want +got):\n%s", diff)
	}
	p.checks = v1alpha1.GatewayHealthCheck{
		Disabled: true, Interval: &metav1.Duration{Duration: 3 * time.Second}, Timeout: &metav1.Duration{Duration: 500 * time.Millisecond},
		UnhealthyThreshold: 4, HealthyThreshold: 5,
	}
	checked, err := controlPlaneValues(p, Images{}, v1alpha1.Component{})
	if err != nil {
		t.Fatal(err)
	}
	want = object{"enabled": true, "gatewayChecks": object{
		"enabled": false, "interval": "3s", "timeout": "500ms", "unhealthyThreshold": int64(4), "healthyThreshold": int64(5),
	}}
	if diff := cmp.Diff(want, checked["federation"]); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}
	got, err = gatewayValues(p, Images{Hub: "isthmesh", Tag: "v1"}, v1alpha1.EastWestGateway{Replicas: 2, Port: 443, ServiceType: "NodePort", Values: &apiextensionsv1.JSON{Raw: []byte(`{"replicaCount":5,"service":{"annotations":{"a":"b"}}}`)}})
	if err != nil {
		t.Fatal(err)
	}
	want = object{
		"replicaCount": int64(5), "revision": "", "name": "istio-eastwestgateway", "networkGateway": "n1", "trustDomain": "west.shop.example",
		"global":  object{"hub": "isthmesh", "tag": "v1", "istioNamespace": "istio-system", "meshID": "shop", "network": "n1", "multiCluster": object{"clusterName": "west"}},
		"service": object{"type": "NodePort", "networkGatewayPort": int64(443), "annotations": object{"a": "b"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("gateway (-want +got):\n%s", diff)
	}
}

func TestLabelOf(t *testing.T) {
	m := west(v1alpha1.MemberTrustStatus{})
	if got := labelOf(m); got != "default.west" {
		t.Errorf("got %q", got)
	}
	m.Namespace, m.Name = strings.Repeat("n", 63), strings.Repeat("m", 63)
	if got := validation.IsValidLabelValue(labelOf(m)); len(got) > 0 {
		t.Errorf("%q: %v", labelOf(m), got)
	}
}

func TestRenderNamesTheFieldAtFault(t *testing.T) {
	f := federation("shop", nil)
	f.Spec.ControlPlane.Values = &apiextensionsv1.JSON{Raw: []byte(`{"replicaCount":"two"}`)}
	f.Spec.EastWestGateway.Values = &apiextensionsv1.JSON{Raw: []byte(`[]`)}
	got := render(place{member: "west", network: "west", trustDomain: "west.shop.example"}, Images{Hub: "isthmesh", Tag: "dev"}, &f, "v1.36.3")
	want := &Problem{v1alpha1.ReasonValuesInvalid, `spec.controlPlane.values of MeshFederation "shop": chart istiod refuses the values: "replicaCount" is wrong: got string, want integer`}
	if diff := cmp.Diff(want, got.controlPlane); diff != "" {
		t.Errorf("control plane (-want +got):\n%s", diff)
	}
	want = &Problem{v1alpha1.ReasonValuesInvalid, `spec.eastWestGateway.values of MeshFederation "shop": values must be an object, name to value`}
	if diff := cmp.Diff(want, got.gateway); diff != "" {
		t.Errorf("gateway (-want +got):\n%s", diff)
	}
}
