// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	security "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Input is everything that a mesh is made of. Nothing in it is modified, and
// nobody may modify it once it was given to Build. The order within a slice
// means nothing, but slices sorted by namespace and name are compared fastest,
// and a slice that is the same one as in the last Input is not looked at.
type Input struct {
	Services            []*corev1.Service
	EndpointSlices      []*discoveryv1.EndpointSlice
	Pods                []*corev1.Pod
	Nodes               []*corev1.Node
	Namespaces          []*corev1.Namespace
	PeerAuthentications []*security.PeerAuthentication
	ServiceExports      []*mcs.ServiceExport
	// MeshConfig is the YAML in ConfigMap istio, key mesh; empty when there is none.
	MeshConfig string
	// MeshConfigName is the ConfigMap's name, for Problems; "istio" when empty.
	MeshConfigName string
	// Imports is what other members export; nil when the hub was never heard.
	Imports *model.Imports
	// Settings are those of the installation (flags). MeshConfig adds to them;
	// AutoMTLS is MeshConfig's alone and on unless that turns it off.
	Settings model.Settings
}

// Result is a mesh and what the next Build needs in order to share with it.
// It is immutable.
type Result struct {
	Mesh *model.Mesh

	services   table[*corev1.Service]
	slices     table[*discoveryv1.EndpointSlice]
	pods       table[*corev1.Pod]
	nodes      table[*corev1.Node]
	namespaces table[*corev1.Namespace]
	policies   table[*security.PeerAuthentication]
	exports    table[*mcs.ServiceExport]

	settings *settings
	rules    *policies
	imports  *imports
	// distribution is the namespaces' annotation of traffic distribution.
	distribution map[string]string

	rows    serviceRows
	podRows podRows
}

// The ConfigMap that holds MeshConfig, in the control plane's namespace, and
// its key. A revision has one of its own: istio-<revision>.
const (
	MeshConfigMap = "istio"
	MeshConfigKey = "mesh"
)
