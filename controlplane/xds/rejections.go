// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"cmp"
	"slices"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// bad is what a client rejected of a resource, and why.
type bad struct{ version, reason string }

// Rejections are the resources that proxies refuse now, of what they are to
// have; sorted by proxy, type and resource. A proxy that took a mended resource,
// or is to have another one by now, is not in it.
func (s *Server) Rejections() []model.Rejection {
	var out []model.Rejection
	for _, st := range s.open() {
		out = append(out, st.rejections()...)
	}
	slices.SortFunc(out, func(a, b model.Rejection) int {
		return cmp.Or(
			cmp.Compare(a.Proxy.Namespace, b.Proxy.Namespace), cmp.Compare(a.Proxy.Name, b.Proxy.Name),
			cmp.Compare(a.TypeURL, b.TypeURL), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Reason, b.Reason))
	})
	return slices.CompactFunc(out, func(a, b model.Rejection) bool {
		return a.Proxy.Namespace == b.Proxy.Namespace && a.Proxy.Name == b.Proxy.Name &&
			a.TypeURL == b.TypeURL && a.Resource == b.Resource && a.Reason == b.Reason
	})
}

// Settled tells whether a pod's proxy is connected, and whether it has answered
// all that it is to have now, or has been waited for in vain. What it refused of
// that is in Rejections.
func (s *Server) Settled(namespace, name string) (done, connected bool) {
	done = true
	for _, st := range s.open() {
		is, settled := st.settled(namespace, name)
		connected, done = connected || is, done && (!is || settled)
	}
	return done && connected, connected
}

func (st *stream) settled(namespace, name string) (is, settled bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.proxy == nil || st.proxy.Namespace != namespace || st.proxy.Name != name {
		return false, false
	}
	return true, st.epoch == st.server.current.Load() && st.session.answered(time.Now())
}

// answered is true when the client has taken or refused all that it wants of the
// view, or was waited for in vain.
func (s *session) answered(now time.Time) bool {
	if !s.level() {
		return false
	}
	for k := range kinds {
		if t := &s.types[k]; t.active && t.waiting(now) {
			return false
		}
	}
	return true
}

func (st *stream) rejections() []model.Rejection {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.proxy == nil {
		return nil
	}
	var out []model.Rejection
	for k := range kinds {
		for name, b := range st.session.types[k].rejections() {
			out = append(out, model.Rejection{Proxy: st.proxy, TypeURL: typeURLs[k], Resource: name, Version: b.version, Reason: b.reason})
		}
	}
	return out
}

// rejections by name, with the client's reasons.
func (t *subscription) rejections() map[string]bad {
	if !t.report.rejected && len(t.bad) == 0 {
		return nil
	}
	out := map[string]bad{}
	for name, b := range t.bad {
		if r := get(t.base, name); r != nil && r.Version == b.version {
			out[name] = b
		}
	}
	// The last response as a whole: state of the world, or nobody knows what is bad in
	// it. What is under way now hasn't been answered, whatever was said before.
	if n := t.report.nack; t.report.rejected && n != nil && t.flight.payload == nil && len(out) == 0 {
		for _, name := range n.Resources {
			if r := get(t.base, name); r != nil && t.bad[name] == (bad{}) {
				out[name] = bad{r.Version, n.Message}
			}
		}
		if len(n.Resources) == 0 && len(t.alone) == 0 {
			out[""] = bad{reason: n.Message}
		}
	}
	return out
}
