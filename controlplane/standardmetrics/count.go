// SPDX-License-Identifier: Apache-2.0

package standardmetrics

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// CountRequests of a connection manager, unless the mesh wants no metrics. What it logs
// beside that stays.
func CountRequests(s *model.Settings, p Place, m *hcmv3.HttpConnectionManager) {
	if s.StandardMetrics {
		m.AccessLog = append(m.AccessLog[:len(m.AccessLog):len(m.AccessLog)], httpLoggers[p]...)
	}
}

// CountConnections of a TCP proxy, likewise.
func CountConnections(s *model.Settings, p Place, t *tcpproxyv3.TcpProxy) {
	if !s.StandardMetrics {
		return
	}
	t.AccessLog = append(Ended(t.AccessLog), tcpLoggers[p]...)
	t.AccessLogOptions = &tcpproxyv3.TcpProxy_TcpAccessLogOptions{FlushAccessLogOnConnected: true}
}

// Ended are access logs that say nothing when a connection is opened, but when it ends,
// as they would if nobody counted those that are open.
func Ended(logs []*accesslogv3.AccessLog) []*accesslogv3.AccessLog {
	out := make([]*accesslogv3.AccessLog, 0, len(logs))
	for _, l := range logs {
		ended := proto.CloneOf(l)
		ended.Filter = at(datav3.AccessLogType_TcpConnectionEnd)
		if l.GetFilter() != nil {
			ended.Filter = both(ended.Filter, l.GetFilter())
		}
		out = append(out, ended)
	}
	return out
}

func both(a, b *accesslogv3.AccessLogFilter) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_AndFilter{
		AndFilter: &accesslogv3.AndFilter{Filters: []*accesslogv3.AccessLogFilter{a, b}},
	}}
}
