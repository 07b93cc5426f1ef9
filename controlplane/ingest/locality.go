// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/entries"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Labels that say where something is, beside Kubernetes' own.
const (
	labelLocality       = "topology.istio.io/locality"
	labelLegacyLocality = "istio-locality"
	labelNetwork        = "topology.istio.io/network"
	labelSubzone        = "topology.istio.io/subzone"
)

// NodeLabels are the labels of nodes that Build reads.
var NodeLabels = []string{corev1.LabelTopologyRegion, corev1.LabelTopologyZone, labelSubzone}

// localities are the nodes by name.
type localities []*corev1.Node

// of returns where a node is, or false when it tells nothing.
func (l localities) of(node string) (model.Locality, bool) {
	i, ok := slices.BinarySearchFunc(l, node, func(n *corev1.Node, name string) int { return strings.Compare(n.Name, name) })
	if !ok {
		return model.Locality{}, false
	}
	at := nodeLocality(l[i])
	return at, at != model.Locality{}
}

func nodeLocality(n *corev1.Node) model.Locality {
	if n == nil {
		return model.Locality{}
	}
	return model.Locality{
		Region:  n.Labels[corev1.LabelTopologyRegion],
		Zone:    n.Labels[corev1.LabelTopologyZone],
		SubZone: n.Labels[labelSubzone],
	}
}

// podLocality is what the pod's own label says, else its node, else fallback.
func (l localities) podLocality(p *corev1.Pod, fallback model.Locality) model.Locality {
	for _, label := range []string{labelLocality, labelLegacyLocality} {
		if v := p.Labels[label]; v != "" {
			return entries.ParseLocality(v)
		}
	}
	if at, ok := l.of(p.Spec.NodeName); ok {
		return at
	}
	return fallback
}
