// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"slices"
	"strings"

	networking "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// The groups and kinds that references name.
const (
	groupCore       = ""
	groupMCS        = "multicluster.x-k8s.io"
	groupIstio      = "networking.istio.io"
	kindService     = "Service"
	kindImport      = "ServiceImport"
	kindHostname    = "Hostname"
	kindEntry       = "ServiceEntry"
	kindSecret      = "Secret"
	kindConfigMap   = "ConfigMap"
	kindGateway     = "Gateway"
	kindClass       = "GatewayClass"
	kindListenerSet = "ListenerSet"
	kindHTTPRoute   = "HTTPRoute"
	kindGRPCRoute   = "GRPCRoute"
	kindTLSRoute    = "TLSRoute"
	kindTCPRoute    = "TCPRoute"
	kindUDPRoute    = "UDPRoute"
	kindTLSPolicy   = "BackendTLSPolicy"
)

// name of an object within its kind.
type name struct{ namespace, name string }

func (n name) String() string { return n.namespace + "/" + n.name }

func nameOf(o metav1.Object) name { return name{o.GetNamespace(), o.GetName()} }

func compareNames(a, b name) int {
	if c := strings.Compare(a.namespace, b.namespace); c != 0 {
		return c
	}
	return strings.Compare(a.name, b.name)
}

// index finds objects by what others call them.
type index struct {
	in          *Input
	namespaces  map[string]labels.Set
	services    map[name]*corev1.Service
	imports     map[name]*mcs.ServiceImport
	entries     map[name]*networking.ServiceEntry
	grants      map[string][]*gatewayv1beta1.ReferenceGrant
	credentials map[model.CredentialRef]*model.Credential
	// references gathers what is asked for.
	references map[model.CredentialRef]bool
	problems   []model.Problem
}

func newIndex(in *Input) *index {
	x := &index{
		in:          in,
		namespaces:  make(map[string]labels.Set, len(in.Namespaces)),
		services:    make(map[name]*corev1.Service, len(in.Services)),
		imports:     make(map[name]*mcs.ServiceImport, len(in.ServiceImports)),
		entries:     make(map[name]*networking.ServiceEntry, len(in.ServiceEntries)),
		grants:      map[string][]*gatewayv1beta1.ReferenceGrant{},
		credentials: make(map[model.CredentialRef]*model.Credential, len(in.Credentials)),
		references:  map[model.CredentialRef]bool{},
	}
	for _, o := range in.Namespaces {
		x.namespaces[o.Name] = o.Labels
	}
	for _, o := range in.Services {
		x.services[nameOf(o)] = o
	}
	for _, o := range in.ServiceImports {
		x.imports[nameOf(o)] = o
	}
	for _, o := range in.ServiceEntries {
		x.entries[nameOf(o)] = o
	}
	for _, o := range in.ReferenceGrants {
		x.grants[o.Namespace] = append(x.grants[o.Namespace], o)
	}
	for _, c := range in.Credentials {
		x.credentials[model.CredentialRef{Namespace: c.Namespace, Name: c.Name, ConfigMap: c.ConfigMap}] = c
	}
	return x
}

// reference is who refers.
type referrer struct{ kind, namespace string }

// permitted is true when a reference stays in its namespace or a
// ReferenceGrant of the other namespace allows it.
func (x *index) permitted(from referrer, group, kind string, to name) bool {
	if from.namespace == to.namespace {
		return true
	}
	for _, g := range x.grants[to.namespace] {
		trusts := slices.ContainsFunc(g.Spec.From, func(f gateway.ReferenceGrantFrom) bool {
			return f.Group == gateway.GroupName && string(f.Kind) == from.kind && string(f.Namespace) == from.namespace
		})
		offers := slices.ContainsFunc(g.Spec.To, func(t gateway.ReferenceGrantTo) bool {
			return string(t.Group) == group && string(t.Kind) == kind && (t.Name == nil || *t.Name == "" || string(*t.Name) == to.name)
		})
		if trusts && offers {
			return true
		}
	}
	return false
}

// selects is true when a namespace is among those that a listener takes routes,
// or a gateway listener sets, from. Own is the namespace of the one that takes.
func (x *index) selects(from gateway.FromNamespaces, selector *metav1.LabelSelector, own, namespace string) bool {
	switch from {
	case gateway.NamespacesFromAll:
		return true
	case gateway.NamespacesFromSame:
		return own == namespace
	case gateway.NamespacesFromSelector:
		s, err := metav1.LabelSelectorAsSelector(selector)
		set, known := x.namespaces[namespace]
		return err == nil && known && s.Matches(set)
	}
	return false
}

// credential looks up what a reference names, and asks for it.
func (x *index) credential(ref model.CredentialRef) *model.Credential {
	x.references[ref] = true
	return x.credentials[model.CredentialRef{Namespace: ref.Namespace, Name: ref.Name, ConfigMap: ref.ConfigMap}]
}

func (x *index) problem(o Object, field, reason, message string) {
	x.problems = append(x.problems, model.Problem{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Field: field, Reason: reason, Message: message})
}

// Reasons of Problems, the words of ingest.
const (
	notSupported = "NotSupported"
	invalid      = "Invalid"
)

// deref returns what a pointer points at, or what stands for nil.
func deref[T any](p *T, none T) T {
	if p == nil {
		return none
	}
	return *p
}

func objectOf(kind string, o metav1.Object) Object {
	return Object{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName(), UID: string(o.GetUID()), Generation: o.GetGeneration()}
}

func originOf(kind string, o metav1.Object) model.Origin {
	return model.Origin{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName(), CreatedUnix: createdUnix(o)}
}

// createdUnix is 0 for an object that was never created, such as one of a file.
func createdUnix(o metav1.Object) int64 {
	t := o.GetCreationTimestamp()
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
