// SPDX-License-Identifier: Apache-2.0

package fields_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	policy "github.com/isthmesh/isthmesh/api/policy/v1alpha1"
	"github.com/isthmesh/isthmesh/controlplane/ingest/fields"
)

// TestMisfitsOfOurs: values that fields of our own kinds can't have.
func TestMisfitsOfOurs(t *testing.T) {
	for name, c := range map[string]struct {
		spec string
		want []fields.Wrong
	}{
		"None":      {`{"scope":"Mesh","service":{"host":"a","port":1,"timeout":"50ms"},"selector":{"matchLabels":{"a":"b"}},"rules":[{"name":"a","keys":["b"],"limit":{"requests":1,"per":"Hour"}}]}`, nil},
		"NoObject":  {`[]`, []fields.Wrong{{Field: "spec", Why: "a list is no object; write its fields below it"}}},
		"NoList":    {`{"rules":{}}`, []fields.Wrong{{Field: "spec.rules", Why: "an object is no list; begin each item with a dash"}}},
		"NoMap":     {`{"selector":{"matchLabels":["a"]}}`, []fields.Wrong{{Field: "spec.selector.matchLabels", Why: "a list is no map; write key: value"}}},
		"NoText":    {`{"scope":1,"selector":{"matchLabels":{"a":true}},"rules":[{"keys":[2]}]}`, []fields.Wrong{{Field: "spec.rules[0].keys[0]", Why: "2 is no text; write it in quotes"}, {Field: "spec.scope", Why: "1 is no text; write it in quotes"}, {Field: "spec.selector.matchLabels[a]", Why: "true is no text; write it in quotes"}}},
		"NoNumber":  {`{"maxCounters":"5","rules":[{"limit":{"requests":1.5,"burst":4294967296}}]}`, []fields.Wrong{{Field: "spec.maxCounters", Why: `"5" is no whole number; write one, without quotes`}, {Field: "spec.rules[0].limit.burst", Why: "4294967296 is outside of what the field holds; use a number nearer to 0"}, {Field: "spec.rules[0].limit.requests", Why: "1.5 is no whole number; write one, without quotes"}}},
		"NoTimeout": {`{"service":{"timeout":"soon"}}`, []fields.Wrong{{Field: "spec.service.timeout", Why: `"soon" is no duration; write such as 500ms, 1.5s or 2h`}}},
		"Null":      {`{"rules":[null],"mode":null}`, []fields.Wrong{{Field: "spec.mode", Why: "it is null; give it a value, or leave it out"}, {Field: "spec.rules[0]", Why: "it is null; give it a value, or leave it out"}}},
	} {
		t.Run(name, func(t *testing.T) {
			var spec any
			if err := json.Unmarshal([]byte(c.spec), &spec); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, fields.Misfits(&policy.RateLimitPolicy{}, map[string]any{"spec": spec})); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}
