// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Keepalive reads TCP keepalive; nil for nil.
func Keepalive(given *networking.ConnectionPoolSettings_TCPSettings_TcpKeepalive, report Report) *model.Keepalive {
	if given == nil {
		return nil
	}
	return &model.Keepalive{
		Probes:   given.GetProbes(),
		Time:     seconds(given.GetTime(), "time", report),
		Interval: seconds(given.GetInterval(), "interval", report),
	}
}

// seconds is a duration that the kernel can have: whole seconds, one at least; 0 for none.
func seconds(d *durationpb.Duration, field string, report Report) time.Duration {
	if d == nil || d.AsDuration() == 0 && d.IsValid() {
		return 0
	}
	if d.IsValid() && (d.AsDuration() >= time.Millisecond && d.AsDuration() < time.Second || d.AsDuration() > 32767*time.Second) {
		report(field, noEffect, "%v is not used, since kernels take whole seconds; give 1s to 32767s", d.AsDuration())
		return 0
	}
	if !d.IsValid() || d.AsDuration() < time.Second {
		report(field, invalid, "%v is not used; give 1s to 32767s", d.AsDuration())
		return 0
	}
	return d.AsDuration().Truncate(time.Second)
}
