// SPDX-License-Identifier: Apache-2.0

package networking

import (
	api "istio.io/api/networking/v1alpha3"

	"github.com/isthmesh/isthmesh/controlplane/ingest/traffic"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

func (r *reader) connections(field string, p *api.ConnectionPoolSettings) *model.ConnectionPool {
	if p == nil {
		return nil
	}
	out := &model.ConnectionPool{}
	if p.GetTcp() == nil && p.GetHttp() == nil {
		r.refuse(field, "it has no settings; add tcp or http, or remove it")
	}
	if t := p.GetTcp(); t != nil {
		field := field + ".tcp"
		out.MaxConnections = r.count(field+".maxConnections", t.GetMaxConnections())
		out.ConnectTimeout = r.duration(field+".connectTimeout", t.GetConnectTimeout())
		out.MaxConnectionAge = r.duration(field+".maxConnectionDuration", t.GetMaxConnectionDuration())
		out.TCPIdleTimeout = r.orZero(field+".idleTimeout", t.GetIdleTimeout())
		out.TCPKeepalive = traffic.Keepalive(t.GetTcpKeepalive(), r.below(field+".tcpKeepalive"))
	}
	if h := p.GetHttp(); h != nil {
		r.httpConnections(field+".http", h, out)
	}
	return out
}

func (r *reader) httpConnections(field string, h *api.ConnectionPoolSettings_HTTPSettings, out *model.ConnectionPool) {
	out.MaxPending = r.count(field+".http1MaxPendingRequests", h.GetHttp1MaxPendingRequests())
	out.MaxRequests = r.count(field+".http2MaxRequests", h.GetHttp2MaxRequests())
	out.MaxRequestsPerConn = r.count(field+".maxRequestsPerConnection", h.GetMaxRequestsPerConnection())
	if n := r.count(field+".maxRetries", h.GetMaxRetries()); n > 0 {
		out.MaxRetries = &n
	}
	out.IdleTimeout = r.orZero(field+".idleTimeout", h.GetIdleTimeout())
	out.MaxConcurrentStreams = r.count(field+".maxConcurrentStreams", h.GetMaxConcurrentStreams())
	out.UseClientProtocol = h.GetUseClientProtocol()
	if h.GetH2UpgradePolicy() != api.ConnectionPoolSettings_HTTPSettings_DEFAULT {
		upgrade := h.GetH2UpgradePolicy() == api.ConnectionPoolSettings_HTTPSettings_UPGRADE
		out.HTTP2 = &upgrade
		if upgrade && out.UseClientProtocol {
			r.tell(field+".h2UpgradePolicy", noEffect, "useClientProtocol keeps the client's protocol, so nothing is upgraded; remove one of the two")
		}
	}
	if k := h.GetHttp2KeepAlive(); k != nil {
		if k.GetInterval() == nil || k.GetTimeout() == nil {
			r.refuse(field+".http2KeepAlive", "it needs interval and timeout; give both")
			return
		}
		interval, timeout := r.duration(field+".http2KeepAlive.interval", k.GetInterval()), r.duration(field+".http2KeepAlive.timeout", k.GetTimeout())
		if interval != nil && timeout != nil {
			out.HTTP2Ping = &model.Ping{Interval: *interval, Timeout: *timeout}
		}
	}
}

func (r *reader) outliers(field string, o *api.OutlierDetection) *model.OutlierDetection {
	if o == nil {
		return nil
	}
	out := &model.OutlierDetection{
		SplitLocal:   o.GetSplitExternalLocalOriginErrors(),
		Interval:     r.duration(field+".interval", o.GetInterval()),
		BaseEjection: r.duration(field+".baseEjectionTime", o.GetBaseEjectionTime()),
	}
	if v := o.GetConsecutive_5XxErrors(); v != nil {
		n := v.GetValue()
		out.Consecutive5xx = &n
	}
	if v := o.GetConsecutiveGatewayErrors(); v != nil {
		n := v.GetValue()
		out.ConsecutiveGateway = &n
	}
	if v := o.GetConsecutiveLocalOriginFailures(); v != nil {
		n := v.GetValue()
		out.ConsecutiveLocal = &n
		if !out.SplitLocal && n > 0 {
			r.reject(field+".consecutiveLocalOriginFailures", "it counts only with splitExternalLocalOriginErrors; set that to true")
		}
	}
	if old := o.GetConsecutiveErrors(); old != 0 { //nolint:staticcheck // the API still takes it
		n := r.count(field+".consecutiveErrors", old)
		if out.ConsecutiveGateway == nil {
			out.ConsecutiveGateway = &n
		} else {
			r.tell(field+".consecutiveErrors", noEffect, "consecutiveGatewayErrors is there and holds; remove consecutiveErrors")
		}
	}
	out.MaxEjectionPercent = r.wholePercent(field+".maxEjectionPercent", o.GetMaxEjectionPercent())
	out.MinHealthPercent = r.wholePercent(field+".minHealthPercent", o.GetMinHealthPercent())
	for i, status := range o.GetOutlierDetectionHttpErrorCodes() {
		if status < 100 || status > 599 {
			r.refuse(at(field+".outlierDetectionHttpErrorCodes", i), "%d is no status; use 100 to 599", status)
			continue
		}
		out.ErrorStatuses = append(out.ErrorStatuses, status)
	}
	return out
}

// wholePercent is nil for 0, which the API can't tell from nothing.
func (r *reader) wholePercent(field string, p int32) *uint32 {
	if p < 0 || p > 100 {
		r.refuse(field, "%d is no percentage; use 0 to 100", p)
		return nil
	}
	if p == 0 {
		return nil
	}
	n := uint32(p)
	return &n
}
