// SPDX-License-Identifier: Apache-2.0

package standardmetrics

import (
	"fmt"
	"slices"
	"sync"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	statsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stats/v3"
	"google.golang.org/protobuf/proto"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Change is what Telemetries make of the metrics on one side of calls.
type Change struct {
	overrides []model.MetricOverride
	off       bool

	mu   sync.Mutex
	made map[string]*accesslogv3.AccessLog
}

// NewChange of Telemetries, the widest first; nil when they leave all as it is.
func NewChange(of []*model.Telemetry, side model.PluginMode) *Change {
	out := &Change{made: map[string]*accesslogv3.AccessLog{}}
	for _, t := range of {
		for _, r := range t.Metrics {
			if r.Named {
				out.off = r.Elsewhere
			}
			for _, o := range r.Overrides {
				if (o.Side == model.ClientAndServer || o.Side == side) && (o.Count != model.Unsaid || len(o.Remove)+len(o.Set) > 0) {
					out.overrides = append(out.overrides, o)
				}
			}
		}
	}
	if !out.off && len(out.overrides) == 0 {
		return nil
	}
	return out
}

// Loggers with the change: those of metrics, and none that counts nothing. Others are
// left out. They are read only.
func (c *Change) Loggers(all []*accesslogv3.AccessLog) ([]*accesslogv3.AccessLog, error) {
	var out []*accesslogv3.AccessLog
	for _, l := range all {
		if l.GetName() != Logger {
			continue
		}
		if c == nil {
			out = append(out, l)
			continue
		}
		changed, err := c.logger(l)
		if err != nil {
			return nil, err
		}
		if changed != nil {
			out = append(out, changed)
		}
	}
	return out, nil
}

// logger that is changed; nil when it would count nothing. Listeners have few kinds of
// them, so each is made once.
func (c *Change) logger(l *accesslogv3.AccessLog) (*accesslogv3.AccessLog, error) {
	if c.off {
		return nil, nil //nolint:nilnil // nothing is counted
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := fmt.Sprint(l.GetFilter()) + string(l.GetTypedConfig().GetValue())
	if made, ok := c.made[key]; ok {
		return made, nil
	}
	config := &statsv3.Config{}
	if err := l.GetTypedConfig().UnmarshalTo(config); err != nil {
		return nil, fmt.Errorf("read what it counts: %w", err)
	}
	config.Counters = slices.DeleteFunc(config.Counters, func(s *statsv3.Config_Counter) bool { return !c.stat(s.GetStat()) })
	config.Histograms = slices.DeleteFunc(config.Histograms, func(s *statsv3.Config_Histogram) bool { return !c.stat(s.GetStat()) })
	var out *accesslogv3.AccessLog
	if len(config.Counters)+len(config.Histograms) > 0 {
		out = proto.CloneOf(l)
		out.ConfigType = &accesslogv3.AccessLog_TypedConfig{TypedConfig: envoy.Any(config)}
	}
	c.made[key] = out
	return out, nil
}

// stat with what holds for it; false when it isn't counted.
func (c *Change) stat(s *statsv3.Config_Stat) bool {
	counted := true
	for _, o := range c.overrides {
		if o.Metric != "" && o.Metric != s.GetName() {
			continue
		}
		if o.Count != model.Unsaid {
			counted = o.Count == model.Yes
		}
		s.Tags = slices.DeleteFunc(s.Tags, func(t *statsv3.Config_Tag) bool {
			return slices.Contains(o.Remove, t.GetName()) || slices.ContainsFunc(o.Set, func(h model.Header) bool { return h.Name == t.GetName() })
		})
		for _, h := range o.Set {
			s.Tags = append(s.Tags, &statsv3.Config_Tag{Name: h.Name, ValueFormat: "%CEL(" + h.Value + ")%"})
		}
	}
	return counted
}
