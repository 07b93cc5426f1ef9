// SPDX-License-Identifier: Apache-2.0

package networking

import (
	"strings"

	api "istio.io/api/networking/v1alpha3"

	"github.com/isthmesh/isthmesh/controlplane/ingest/traffic"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// OutboundTLS reads what MeshConfig says of TLS to hosts that the mesh doesn't
// know; nil for none. What can't be followed is Invalid, and nothing is sent there.
func OutboundTLS(given *api.ClientTLSSettings, report traffic.Report) *model.ClientTLS {
	r := &reader{settings: &model.Settings{}}
	out := r.clientTLS("", given)
	if out != nil && out.Credential != nil {
		r.refuse(".credentialName", "a Secret would be everybody's, so sidecars don't get it, and nothing is sent; use files of the proxies, or a DestinationRule with a workloadSelector")
		out = &model.ClientTLS{Mode: out.Mode, Invalid: r.why}
	}
	r.replay(report)
	return out
}

// Baseline reads what MeshConfig's defaultTrafficPolicy says of calls to hosts
// whose DestinationRules don't; nil parts for none.
func Baseline(pool *api.ConnectionPoolSettings, outliers *api.OutlierDetection, report traffic.Report) (*model.ConnectionPool, *model.OutlierDetection) {
	r := &reader{settings: &model.Settings{}}
	p, o := r.connections("connectionPool", pool), r.outliers("outlierDetection", outliers)
	r.replay(report)
	return p, o
}

// replay what is wrong with a piece of MeshConfig.
func (r *reader) replay(report traffic.Report) {
	for _, p := range r.problems {
		report(strings.TrimPrefix(p.Field, "."), p.Reason, "%s", p.Message)
	}
}
