// SPDX-License-Identifier: Apache-2.0

package destination

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// outliers ejects endpoints that fail, by the number of failures in a row only,
// as Istio has it: Envoy's statistics of success are off.
//
// Where the policy doesn't limit how many, Envoy's tenth of the endpoints holds
// and one endpoint at least, since a tenth of a few pods is nobody. With a
// failover that is asked for it is all of them: a region that went away is more
// than a tenth, and nobody leaves it as long as its endpoints may not be ejected.
func outliers(c *clusterv3.Cluster, t Target, o *model.OutlierDetection) {
	if o == nil {
		return
	}
	out := &clusterv3.OutlierDetection{EnforcingSuccessRate: wrapperspb.UInt32(0)}
	out.Consecutive_5Xx, out.EnforcingConsecutive_5Xx = detection(o.Consecutive5xx)
	out.ConsecutiveGatewayFailure, out.EnforcingConsecutiveGatewayFailure = detection(o.ConsecutiveGateway)
	if o.SplitLocal {
		out.SplitExternalLocalOriginErrors = true
		out.ConsecutiveLocalOriginFailure, out.EnforcingConsecutiveLocalOriginFailure = detection(o.ConsecutiveLocal)
		out.EnforcingLocalOriginSuccessRate = wrapperspb.UInt32(0)
	}
	if d := o.Interval; d != nil && *d > 0 {
		out.Interval = durationpb.New(max(*d, time.Millisecond))
	}
	if d := o.BaseEjection; d != nil && *d > 0 {
		out.BaseEjectionTime = durationpb.New(max(*d, time.Millisecond))
	}
	switch l := Localities(t); {
	case o.MaxEjectionPercent != nil:
		out.MaxEjectionPercent = wrapperspb.UInt32(min(*o.MaxEjectionPercent, 100))
	case l != nil && len(l.Failover)+len(l.FailoverPriority) > 0:
		out.MaxEjectionPercent = wrapperspb.UInt32(100)
	default:
		out.AlwaysEjectOneHost = wrapperspb.Bool(true)
	}
	c.OutlierDetection = out
	// Too few healthy endpoints, and all of them are used: by default never, since
	// a service may have few pods.
	healthy := uint32(0)
	if o.MinHealthPercent != nil {
		healthy = min(*o.MinHealthPercent, 100)
	}
	common(c).HealthyPanicThreshold = &typev3.Percent{Value: float64(healthy)}
}

// detection by a number of failures: nil takes Envoy's default, 0 turns it off.
func detection(n *uint32) (failures, enforcing *wrapperspb.UInt32Value) {
	switch {
	case n == nil:
		return nil, nil
	case *n == 0:
		return nil, wrapperspb.UInt32(0)
	default:
		return wrapperspb.UInt32(*n), wrapperspb.UInt32(100)
	}
}

func common(c *clusterv3.Cluster) *clusterv3.Cluster_CommonLbConfig {
	if c.CommonLbConfig == nil {
		c.CommonLbConfig = &clusterv3.Cluster_CommonLbConfig{}
	}
	return c.CommonLbConfig
}
