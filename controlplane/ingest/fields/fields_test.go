// SPDX-License-Identifier: Apache-2.0

package fields_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	networking "istio.io/client-go/pkg/apis/networking/v1"
	networkingalpha "istio.io/client-go/pkg/apis/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"

	policy "github.com/isthmesh/isthmesh/api/policy/v1alpha1"
	"github.com/isthmesh/isthmesh/controlplane/ingest/fields"
)

func TestUnknown(t *testing.T) {
	cases := map[string]struct {
		object any
		text   string
		want   []string
	}{
		"None":        {&networking.VirtualService{}, `{"spec":{"hosts":["a"],"http":[{"timeout":"5s","mirror_percent":5,"mirrorPercent":5,"retries":{"retryRemoteLocalities":true}}]}}`, nil},
		"Top":         {&networking.VirtualService{}, `{"spec":{"host":["a"]}}`, []string{"spec.host"}},
		"InList":      {&networking.VirtualService{}, `{"spec":{"http":[{},{"appendHeaders":{}, "route":[{"destination":{"hosts":"a"}}]}]}}`, []string{"spec.http[1].appendHeaders", "spec.http[1].route[0].destination.hosts"}},
		"InMap":       {&networking.VirtualService{}, `{"spec":{"http":[{"match":[{"headers":{"x":{"exakt":"y"},"any":{}}}]}]}}`, []string{"spec.http[0].match[0].headers[x].exakt"}},
		"FreeForm":    {&networkingalpha.EnvoyFilter{}, `{"spec":{"configPatches":[{"patch":{"value":{"anything":{"goes":1}},"values":1}}]}}`, []string{"spec.configPatches[0].patch.values"}},
		"OtherForm":   {&networking.VirtualService{}, `{"spec":{"http":{"a":1},"hosts":[{"b":1}]}}`, nil},
		"NoSpec":      {&networking.VirtualService{}, `{}`, nil},
		"NotProtobuf": {&corev1.Service{}, `{"spec":{"x":1}}`, nil},
		"Ours":        {&policy.RateLimitPolicy{}, `{"spec":{"rulez":[],"rules":[{"keys":["a"],"limits":{},"limit":{"requests":1,"window":2},"from":[{"source":{"principal":["a"]}}]}],"selector":{"matchLabels":{"any":"x"}},"service":{"timeout":"1s"}}}`, []string{"spec.rules[0].from[0].source.principal", "spec.rules[0].limit.window", "spec.rules[0].limits", "spec.rulez"}},
		"OursOfNone":  {&policy.RateLimitPolicy{}, `{"spec":{"rules":[{"limit":{"requests":1,"per":"Hour"}}]}}`, nil},
		"OursNoSpec":  {&policy.RateLimitPolicy{}, `{}`, nil},
		"Nothing":     {nil, `{"spec":{"x":1}}`, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			written := map[string]any{}
			if err := json.Unmarshal([]byte(c.text), &written); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, fields.Unknown(c.object, written)); diff != "" {
				t.Errorf("unknown fields (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTooDeep(t *testing.T) {
	nested := func(n int) string { return strings.Repeat(`{"a":[`, n/2) + strings.Repeat(`]}`, n/2) }
	for name, c := range map[string]struct {
		text string
		want bool
	}{
		"AtTheLimit":  {nested(fields.MaxDepth), false},
		"BeyondIt":    {nested(fields.MaxDepth + 2), true},
		"InText":      {`"` + strings.Repeat(`{`, 1000) + `"`, false},
		"QuotedQuote": {`"\"` + strings.Repeat(`{`, 1000) + `"`, false},
		"SideBySide":  {strings.Repeat(`{}`, 1000), false},
		"Unclosed":    {strings.Repeat(`[`, 1000), true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fields.TooDeep([]byte(c.text)); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
