// SPDX-License-Identifier: Apache-2.0

package patch

import (
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/isthmesh/isthmesh/controlplane/model"
	_ "github.com/isthmesh/isthmesh/controlplane/patch/extensions" // the types
)

// TestDurations: they may be written as Istio's users do, at any depth.
func TestDurations(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"Milliseconds": {`{"route": {"timeout": "500ms"}}`, `{"route":{"timeout":"0.500s"}}`},
		"Hours":        {`{"route": {"timeout": "1h"}}`, `{"route":{"timeout":"3600s"}}`},
		"Negative":     {`{"route": {"timeout": "-1.5s"}}`, `{"route":{"timeout":"-1.500s"}}`},
		"ProtoName":    {`{"route": {"max_stream_duration": {"max_stream_duration": "2m"}}}`, `{"route":{"max_stream_duration":{"max_stream_duration":"120s"}}}`},
		"InAnAny": {
			`{"typed_per_filter_config": {"a": {"@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault", "delay": {"fixed_delay": "5ms"}}}}`,
			`{"typed_per_filter_config":{"a":{"@type":"type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault","delay":{"fixed_delay":"0.005s"}}}}`,
		},
		"NotADuration": {`{"name": "1h", "route": {"cluster": "1h"}}`, `{"name":"1h","route":{"cluster":"1h"}}`},
		"Nonsense":     {`{"route": {"timeout": "soon"}}`, `{"route":{"timeout":"soon"}}`},
		"NoJSON":       {`{`, `{`},
		"LargeNumber":  {`{"direct_response": {"status": 18446744073709551615}}`, `{"direct_response":{"status":18446744073709551615}}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(durations([]byte(c.text), (&routev3.Route{}).ProtoReflect().Descriptor())); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
	p, problem := Read(&model.Patch{ApplyTo: "HTTP_ROUTE", Operation: "MERGE", Value: []byte(`{"route": {"timeout": "500ms"}}`)})
	if problem != nil {
		t.Fatal(problem)
	}
	if got := p.value.(*routev3.Route).GetRoute().GetTimeout().AsDuration(); got != 500*time.Millisecond {
		t.Errorf("%v in %s", got, protojson.Format(p.value))
	}
}
