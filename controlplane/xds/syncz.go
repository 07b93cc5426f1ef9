// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"cmp"
	"slices"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// SyncState of a type at a proxy, in the words of Istio's proxy-status.
type SyncState string

// The states.
const (
	// Synced: the proxy accepted all that it is to have.
	Synced SyncState = "SYNCED"
	// Stale: it has not answered the last response, or has rejected something that
	// it is to have.
	Stale SyncState = "STALE"
	// NotSent: it was sent nothing, since it asked for nothing.
	NotSent SyncState = "NOT SENT"
)

// ProxyState tells how far one stream's proxy is.
type ProxyState struct {
	// ID is "pod.namespace", Node the whole node id.
	ID, Node string
	Identity string
	Cluster  model.ClusterID
	// Version of Istio's agent as it tells.
	Version   string
	Connected time.Time
	SotW      bool
	// Types in the order in which they are sent.
	Types []TypeState
}

// TypeState tells how far a proxy is with one type.
type TypeState struct {
	TypeURL string
	State   SyncState
	// Sent and Acked are nonces of the stream.
	Sent, Acked string
	// Version is a hash of all the resources that the proxy may have, as they were sent.
	Version string
	// Nack is the last one, also after it was made good; or nil.
	Nack *Nack
}

// Proxies tells the state of every stream, sorted by ID, then time of connection.
func (s *Server) Proxies() []ProxyState {
	var out []ProxyState
	versions := map[envoy.Layers]string{}
	for _, st := range s.open() {
		if p, ok := st.state(versions); ok {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b ProxyState) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), a.Connected.Compare(b.Connected))
	})
	return out
}

func (st *stream) state(versions map[envoy.Layers]string) (ProxyState, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.node == nil {
		return ProxyState{}, false
	}
	p := ProxyState{
		ID:        st.node.name + "." + st.node.namespace,
		Node:      st.node.id,
		Identity:  st.caller.Identity.String(),
		Cluster:   st.node.metadata.cluster,
		Version:   st.node.metadata.version,
		Connected: st.opened,
		SotW:      st.session.sotw,
	}
	for k := range kinds {
		t := &st.session.types[k]
		ts := TypeState{TypeURL: typeURLs[k], State: NotSent, Sent: t.report.sent, Acked: t.report.acked, Nack: t.report.nack}
		if t.active {
			ts.State = st.session.state(k)
			v, ok := versions[t.base]
			if !ok {
				v = version(t.base)
				versions[t.base] = v
			}
			ts.Version = v
		}
		p.Types = append(p.Types, ts)
	}
	return p, true
}

// state of a type that the client has asked for.
func (s *session) state(k kind) SyncState {
	t := &s.types[k]
	switch {
	case s.cache == nil:
		return NotSent
	case t.report.rejected, len(t.bad) > 0, t.flight.payload != nil, t.behind(s.target[k]), len(t.gone) > 0:
		return Stale
	}
	return Synced
}
