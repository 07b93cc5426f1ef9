// SPDX-License-Identifier: Apache-2.0

package xds

import "github.com/isthmesh/isthmesh/controlplane/envoy"

// kind is a resource type that is served, in the order in which changes are
// sent: what is referred to comes before what refers to it.
type kind uint8

const (
	clusters kind = iota
	endpoints
	secrets
	extensions
	listeners
	routes
	names
	runtimes
	bootstraps
	kinds // how many there are
)

// typeURLs by kind.
var typeURLs = [kinds]string{
	clusters:   envoy.ClusterType,
	endpoints:  envoy.EndpointType,
	secrets:    envoy.SecretType,
	extensions: envoy.ExtensionType,
	listeners:  envoy.ListenerType,
	routes:     envoy.RouteType,
	names:      envoy.NameTableType,
	runtimes:   envoy.RuntimeType,
	bootstraps: envoy.BootstrapType,
}

// labels by kind, as Istio's metrics and tools name them.
var labels = [kinds]string{
	clusters:   "cds",
	endpoints:  "eds",
	secrets:    "sds",
	extensions: "ecds",
	listeners:  "lds",
	routes:     "rds",
	names:      "nds",
	runtimes:   "rtds",
	bootstraps: "bds",
}

// kindOf a type URL; false for types that are not served.
func kindOf(typeURL string) (kind, bool) {
	for k, u := range typeURLs {
		if u == typeURL {
			return kind(k), true
		}
	}
	return 0, false
}

// emptyMeansAll is true for the types whose first request without names
// subscribes to everything. For the others it doesn't: Envoy also opens a
// reconnected stream with no names when it has dropped all of them.
func (k kind) emptyMeansAll() bool {
	return k == clusters || k == listeners || k == names || k == runtimes || k == bootstraps
}

// whole is true for the types of which a state-of-the-world response carries
// every resource; of the others it may carry those that changed.
func (k kind) whole() bool { return k.emptyMeansAll() }

// last is true for the types that refer to clusters, and therefore wait until
// the proxy has accepted the clusters sent before them.
func (k kind) last() bool { return k == listeners || k == routes }

// answersUnknown is true for the types of which a name that the view doesn't
// have is answered with an empty resource: a cluster or a listener that waits
// for it would never become active.
func (k kind) answersUnknown() bool { return k == endpoints || k == routes }

// removesAtOnce is true for the types that nothing else refers to: their
// removals need not wait.
func (k kind) removesAtOnce() bool {
	return k == listeners || k == names || k == runtimes || k == bootstraps
}
