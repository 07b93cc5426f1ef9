// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"fmt"
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
)

func federation(name string, changes ...func(*v1alpha1.MeshFederation)) *v1alpha1.MeshFederation {
	f := &v1alpha1.MeshFederation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: v1alpha1.MeshFederationSpec{
			Trust:          v1alpha1.Trust{Domain: name + ".example", Scope: v1alpha1.TrustScopeMember},
			MemberSelector: metav1.LabelSelector{MatchLabels: map[string]string{"mesh": name}},
		},
	}
	for _, change := range changes {
		change(f)
	}
	return f
}

func member(name string, changes ...func(*v1alpha1.MeshMember)) *v1alpha1.MeshMember {
	m := &v1alpha1.MeshMember{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"mesh": "shop"}},
		Spec:       v1alpha1.MeshMemberSpec{KubeconfigSecretRef: &v1alpha1.LocalObjectReference{Name: name + "-kubeconfig"}},
	}
	for _, change := range changes {
		change(m)
	}
	return m
}

func controlPlaneValues(json string) func(*v1alpha1.MeshFederation) {
	return func(f *v1alpha1.MeshFederation) {
		f.Spec.ControlPlane.Values = &apiextensionsv1.JSON{Raw: []byte(json)}
	}
}

func gatewayValues(json string) func(*v1alpha1.MeshFederation) {
	return func(f *v1alpha1.MeshFederation) {
		f.Spec.EastWestGateway.Values = &apiextensionsv1.JSON{Raw: []byte(json)}
	}
}

func everyMember(f *v1alpha1.MeshFederation) { f.Spec.MemberSelector = metav1.LabelSelector{} }

func of(federation string) func(*v1alpha1.MeshMember) {
	return func(m *v1alpha1.MeshMember) { m.Status.Federation = federation }
}

func reached(addresses ...string) func(*v1alpha1.MeshMember) {
	return func(m *v1alpha1.MeshMember) { m.Spec.Gateway.Addresses = addresses }
}

func labelled(mesh string) func(*v1alpha1.MeshMember) {
	return func(m *v1alpha1.MeshMember) { m.Labels = map[string]string{"mesh": mesh} }
}

func secret(name string) func(*v1alpha1.MeshMember) {
	return func(m *v1alpha1.MeshMember) {
		m.Spec.KubeconfigSecretRef = &v1alpha1.LocalObjectReference{Name: name}
	}
}

func leaving(m *v1alpha1.MeshMember) { m.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }

func members(all ...*v1alpha1.MeshMember) []v1alpha1.MeshMember {
	var out []v1alpha1.MeshMember
	for _, m := range all {
		out = append(out, *m)
	}
	return out
}

func federations(all ...*v1alpha1.MeshFederation) []v1alpha1.MeshFederation {
	var out []v1alpha1.MeshFederation
	for _, f := range all {
		out = append(out, *f)
	}
	return out
}

// want compares a whole list with one text, of which "" is none.
func want(t *testing.T, what string, got []string, want string) {
	t.Helper()
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("%s:\ngot  %s\nwant %s", what, text, want)
	}
}

func TestFederation(t *testing.T) {
	bad := controlPlaneValues(`{"replicaCount":"two"}`)
	const badText = `MeshFederation default/shop: spec.controlPlane.values: chart istiod refuses the values: "replicaCount" is wrong: got string, want integer`
	cases := map[string]struct {
		now, was        *v1alpha1.MeshFederation
		world           World
		refused, warned string
	}{
		"Good":        {now: federation("shop", controlPlaneValues(`{"replicaCount":2}`))},
		"WrongType":   {now: federation("shop", bad), refused: badText},
		"NewlyWrong":  {now: federation("shop", bad), was: federation("shop"), refused: badText},
		"WrongBefore": {now: federation("shop", bad, everyMember), was: federation("shop", bad), warned: badText},
		"UnknownValue": {
			now:     federation("shop", gatewayValues(`{"service":{"typ":"NodePort"}}`)),
			refused: `MeshFederation default/shop: spec.eastWestGateway.values: chart gateway refuses the values: "service.typ" is not known: see the chart's values.yaml for its names`,
		},
		"NotAnObject": {
			now:     federation("shop", controlPlaneValues(`["a"]`)),
			refused: `MeshFederation default/shop: spec.controlPlane.values: values must be an object, name to value`,
		},
		"Overruled": {
			now: federation("shop", controlPlaneValues(`{"global":{"network":"n1"},"revision":""}`), gatewayValues(`{"service":{"type":"NodePort"}}`)),
			warned: "MeshFederation default/shop: spec.controlPlane.values.global.network: the hub sets this value for each member, and the one given here is never used: take it out\n" +
				"MeshFederation default/shop: spec.eastWestGateway.values.service.type: the hub sets this value for each member, and the one given here is never used: take it out",
		},
		"BadDomain": {
			now:     federation("shop", func(f *v1alpha1.MeshFederation) { f.Spec.Trust.Domain = "a..b" }),
			refused: `MeshFederation default/shop: spec.trust.domain: trust domain "a..b": each part between dots must have 1 to 63 characters`,
		},
		"SameDomain": {
			now:    federation("shop", func(f *v1alpha1.MeshFederation) { f.Spec.Trust.Domain = "bank.example" }),
			world:  World{Federations: federations(federation("bank"))},
			warned: `MeshFederation default/shop: spec.trust.domain: MeshFederation "bank" has trust domain "bank.example" too, so that the names of workloads don't tell the two apart: give each federation a domain of its own`,
		},
		"BadSelector": {
			now: federation("shop", func(f *v1alpha1.MeshFederation) {
				f.Spec.MemberSelector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}
			}),
			refused: `MeshFederation default/shop: spec.memberSelector: it can't be read, so it would select no member: "Near" is not a valid label selector operator`,
		},
		"Contested": {
			now:     federation("bank", everyMember),
			world:   World{Federations: federations(federation("shop")), Members: members(member("east"), member("west"), member("old", leaving))},
			refused: `MeshFederation default/bank: spec.memberSelector: it selects MeshMembers that are selected by MeshFederation shop too, and would be in none of them: east, west; change the selectors or the members' labels so that one selects each`,
		},
		"InAnother": {
			now:    federation("bank", everyMember),
			world:  World{Federations: federations(federation("shop")), Members: members(member("east", of("shop")))},
			warned: `MeshFederation default/bank: spec.memberSelector: it selects MeshMembers that are in another federation, and stay there while that one selects them: east`,
		},
		"LeavesMembers": {
			now:    federation("bank"),
			was:    federation("bank", everyMember),
			world:  World{Federations: federations(federation("bank", everyMember)), Members: members(member("east", of("bank")))},
			warned: `MeshFederation default/bank: spec.memberSelector: it no longer selects MeshMembers that are in the federation: east; what is installed in their clusters stays until they are deleted`,
		},
		"OtherRoot": {
			now: federation("shop", func(f *v1alpha1.MeshFederation) {
				f.Spec.Trust.Root.SecretRef = &v1alpha1.LocalObjectReference{Name: "company"}
			}),
			was:    federation("shop", func(f *v1alpha1.MeshFederation) { f.Status.Trust.RootFingerprint = "ab12" }),
			warned: `MeshFederation default/shop: spec.trust.root: the root is read from Secret "company" now and no longer from "shop-root-ca": unless it is the same root, members enrol again only after annotation federation.isthmesh.dev/replace-root=ab12 is set`,
		},
		"NeverExported": {
			now: federation("shop", func(f *v1alpha1.MeshFederation) {
				f.Spec.Exports.Rules = []v1alpha1.ExportRule{{Namespaces: []string{"*", "kube-system"}}}
			}),
			warned: `MeshFederation default/shop: spec.exports.rules[0].namespaces: namespace "kube-system" is never exported: take it out`,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			v := Federation(c.now, c.was, c.world)
			want(t, "refused", v.Refused, c.refused)
			want(t, "warnings", v.Warnings, c.warned)
		})
	}
}

func TestMember(t *testing.T) {
	shop := federations(federation("shop"))
	const twin = `MeshMember default/west: spec.kubeconfigSecretRef: MeshMember "east" has the kubeconfig of Secret "east-kubeconfig" already, and one cluster can't be two members: delete that one first, or name the Secret of another cluster`
	const taken = `MeshMember default/west: spec.gateway.addresses: 192.0.2.1:15443 is where MeshMember "east" is reached already, and what is sent to one would come to the other: give each member's gateway an address or a port of its own`
	address := func(i int, rest string) string {
		return fmt.Sprintf("MeshMember default/west: spec.gateway.addresses[%d]: %s", i, rest)
	}
	cases := map[string]struct {
		now, was        *v1alpha1.MeshMember
		world           World
		kubeconfig      string
		refused, warned string
	}{
		"Good":         {now: member("west", reached("192.0.2.1", "2001:db8::1", "gw.example.com")), world: World{Federations: shop, Members: members(member("east"), member("west"))}},
		"SecretLater":  {now: member("west"), world: World{Federations: shop}, kubeconfig: "it is not there yet", warned: "MeshMember default/west: spec.kubeconfigSecretRef: it is not there yet"},
		"SameSecret":   {now: member("west", secret("east-kubeconfig")), world: World{Federations: shop, Members: members(member("east"))}, refused: twin},
		"SameBefore":   {now: member("west", secret("east-kubeconfig")), was: member("west", secret("east-kubeconfig")), world: World{Federations: shop, Members: members(member("east"))}, warned: twin},
		"SameLeaving":  {now: member("west", secret("east-kubeconfig")), world: World{Federations: shop, Members: members(member("east", leaving))}},
		"SameAsItself": {now: member("west"), was: member("west"), world: World{Federations: shop, Members: members(member("west"))}},
		"SameByCluster": {
			now: member("west", func(m *v1alpha1.MeshMember) {
				m.Spec.KubeconfigSecretRef, m.Spec.ClusterRef = nil, &v1alpha1.LocalObjectReference{Name: "east"}
			}),
			world: World{Federations: shop, Members: members(member("east"))}, refused: strings.Replace(twin, "kubeconfigSecretRef", "clusterRef", 1),
		},
		"SameAddress":        {now: member("west", reached("192.0.2.1")), world: World{Federations: shop, Members: members(member("east", reached("192.0.2.1")))}, refused: taken},
		"SameAddressLearned": {now: member("west", reached("192.0.2.1")), world: World{Federations: shop, Members: members(member("east", func(m *v1alpha1.MeshMember) { m.Status.Gateway.Addresses = []string{"192.0.2.1:15443"} }))}, refused: taken},
		"SameAddressSpelled": {
			now: member("west", reached("2001:db8:0::1")), world: World{Federations: shop, Members: members(member("east", reached("2001:db8::1")))},
			refused: strings.Replace(taken, "192.0.2.1:15443", "[2001:db8::1]:15443", 1),
		},
		"OtherPort":       {now: member("west", reached("192.0.2.1"), func(m *v1alpha1.MeshMember) { m.Spec.Gateway.Port = 443 }), world: World{Federations: shop, Members: members(member("east", reached("192.0.2.1")))}},
		"OtherFederation": {now: member("west", reached("192.0.2.1")), world: World{Federations: federations(federation("bank"), federation("shop")), Members: members(member("east", labelled("bank"), reached("192.0.2.1")))}},
		"NoFederationYet": {
			now:    member("west"),
			warned: `MeshMember default/west: metadata.labels: no MeshFederation in namespace "default" selects the member, whose labels are mesh=shop: give it the labels of a spec.memberSelector`,
		},
		"TwoFederations": {
			now: member("west"), world: World{Federations: federations(federation("bank", everyMember), federation("shop"))},
			refused: `MeshMember default/west: metadata.labels: MeshFederations bank, shop all select the member: change their spec.memberSelector or the member's labels so that one does`,
		},
		"InOneOfTwo": {
			now: member("west", of("shop")), world: World{Federations: federations(federation("bank", everyMember), federation("shop"))},
			warned: `MeshMember default/west: metadata.labels: MeshFederation bank selects the member too, which stays in "shop": change one of their selectors`,
		},
		"Moves": {
			now: member("west", labelled("bank"), of("shop")), was: member("west", of("shop")), world: World{Federations: federations(federation("bank"), federation("shop"))},
			warned: `MeshMember default/west: metadata.labels: the member moves from MeshFederation "shop" to "bank", and all its workloads get new identities`,
		},
		"OtherCluster": {
			now: member("west", secret("new")), was: member("west", func(m *v1alpha1.MeshMember) { m.Status.ClusterUID = "u" }), world: World{Federations: shop},
			warned: `MeshMember default/west: spec.kubeconfigSecretRef: the kubeconfig is read from Secret "new" now and no longer from "west-kubeconfig": if it is of another cluster, what is installed in the former one stays there; ` + "`isthmesh uninstall` in it cleans it up",
		},
		"BadIPv4":     {now: member("west", reached("gw.example.com", "192.0.2.999")), world: World{Federations: shop}, refused: address(1, `"192.0.2.999" is no IPv4 address: give an IP address or a DNS name at which other members reach the gateway`)},
		"BadIPv6":     {now: member("west", reached("1::2::3")), world: World{Federations: shop}, refused: address(0, `"1::2::3" is no IPv6 address: give an IP address or a DNS name at which other members reach the gateway`)},
		"WithPort":    {now: member("west", reached("gw.example.com:443")), world: World{Federations: shop}, refused: address(0, `"gw.example.com:443" is no IPv6 address: give an IP address or a DNS name at which other members reach the gateway`)},
		"BadName":     {now: member("west", reached("a_b")), world: World{Federations: shop}, refused: address(0, `"a_b" is neither an IP address nor a DNS name: give an IP address or a DNS name at which other members reach the gateway`)},
		"LongLabel":   {now: member("west", reached(strings.Repeat("a", 64)+".example")), world: World{Federations: shop}, refused: address(0, `"`+strings.Repeat("a", 64)+`.example" has a part of 64 characters between dots, of which DNS allows 63: give an IP address or a DNS name at which other members reach the gateway`)},
		"Unspecified": {now: member("west", reached("0.0.0.0")), world: World{Federations: shop}, refused: address(0, `"0.0.0.0" is no address that can be called from elsewhere: give the one at which other members reach the gateway`)},
		"Loopback":    {now: member("west", reached("::1")), world: World{Federations: shop}, warned: address(0, `"::1" is reached from its own machine or link only: give an address that other members reach`)},
		"Localhost":   {now: member("west", reached("localhost")), world: World{Federations: shop}, warned: address(0, `"localhost" is each caller's own machine: give an address that other members reach`)},
		"EmptyName":   {now: member("west", reached("")), world: World{Federations: shop}, refused: address(0, `"" is neither an IP address nor a DNS name: give an IP address or a DNS name at which other members reach the gateway`)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			v := Member(c.now, c.was, c.kubeconfig, c.world)
			want(t, "refused", v.Refused, c.refused)
			want(t, "warnings", v.Warnings, c.warned)
		})
	}
}
