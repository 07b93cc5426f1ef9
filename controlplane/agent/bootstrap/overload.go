// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"time"

	overloadv3 "github.com/envoyproxy/go-control-plane/envoy/config/overload/v3"
	connectionsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	heapv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/fixed_heap/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	connections = "envoy.resource_monitors.global_downstream_max_connections"
	heap        = "envoy.resource_monitors.fixed_heap"
)

// pressure is what Envoy does when so much of its heap is in use, in order.
var pressure = []struct {
	action string
	at     float64
}{
	{"envoy.overload_actions.shrink_heap", 0.90},
	{"envoy.overload_actions.stop_accepting_requests", 0.95},
	{"envoy.overload_actions.stop_accepting_connections", 0.98},
}

// overloadManager bounds connections and memory, so that a flood ends in
// refusals of what is new and not in the loss of what is there.
func overloadManager(o Options) (*overloadv3.OverloadManager, error) {
	limit, err := monitor(connections, &connectionsv3.DownstreamConnectionsConfig{
		MaxActiveDownstreamConnections: int64(min(o.MaxConnections, 1<<31-1)),
	})
	if err != nil {
		return nil, err
	}
	out := &overloadv3.OverloadManager{ResourceMonitors: []*overloadv3.ResourceMonitor{limit}}
	if o.MaxHeap == 0 {
		return out, nil
	}
	memory, err := monitor(heap, &heapv3.FixedHeapConfig{MaxHeapSizeBytes: o.MaxHeap})
	if err != nil {
		return nil, err
	}
	out.ResourceMonitors = append(out.ResourceMonitors, memory)
	out.RefreshInterval = durationpb.New(250 * time.Millisecond)
	for _, p := range pressure {
		out.Actions = append(out.Actions, &overloadv3.OverloadAction{Name: p.action, Triggers: []*overloadv3.Trigger{{
			Name:         heap,
			TriggerOneof: &overloadv3.Trigger_Threshold{Threshold: &overloadv3.ThresholdTrigger{Value: p.at}},
		}}})
	}
	return out, nil
}

func monitor(name string, config proto.Message) (*overloadv3.ResourceMonitor, error) {
	a, err := packed(config)
	if err != nil {
		return nil, err
	}
	return &overloadv3.ResourceMonitor{Name: name, ConfigType: &overloadv3.ResourceMonitor_TypedConfig{TypedConfig: a}}, nil
}
