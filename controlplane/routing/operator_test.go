// SPDX-License-Identifier: Apache-2.0

package routing

import "testing"

// TestCommands: what Envoy takes as an operator stays one, and all else is text.
// Envoy refuses a whole table of routes for an operator that it doesn't take.
func TestCommands(t *testing.T) {
	for name, test := range map[string]struct{ value, want, unknown string }{
		"Text":            {"100%", "100%%", ""},
		"Literal":         {"100%%", "100%%", ""},
		"Plain":           {"a %PROTOCOL% b", "a %PROTOCOL% b", ""},
		"PlainWithLength": {"%RESPONSE_CODE:1%", "%%RESPONSE_CODE:1%%", "%RESPONSE_CODE:1%"},
		"Unknown":         {"%FOO%", "%%FOO%%", "%FOO%"},
		"Header":          {"%REQ(x?:path):20%", "%REQ(x?:path):20%", ""},
		"Metadata":        {"%DYNAMIC_METADATA(a:b):5%", "%DYNAMIC_METADATA(a:b):5%", ""},
		"NoLength":        {"%UPSTREAM_METADATA(a:b):5%", "%%UPSTREAM_METADATA(a:b):5%%", "%UPSTREAM_METADATA(a:b):5%"},
		"State":           {"%FILTER_STATE(a.b)% %FILTER_STATE(x:PLAIN):9% %FILTER_STATE(x:FIELD:y)%", "%FILTER_STATE(a.b)% %FILTER_STATE(x:PLAIN):9% %FILTER_STATE(x:FIELD:y)%", ""},
		"StateOtherwise":  {"%FILTER_STATE(x:NOPE)%", "%%FILTER_STATE(x:NOPE)%%", "%FILTER_STATE(x:NOPE)%"},
		"StateNoField":    {"%FILTER_STATE(x:FIELD)%", "%%FILTER_STATE(x:FIELD)%%", "%FILTER_STATE(x:FIELD)%"},
		"StateNoKey":      {"%FILTER_STATE(:PLAIN)%", "%%FILTER_STATE(:PLAIN)%%", "%FILTER_STATE(:PLAIN)%"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, unknown := commands(test.value); got != test.want || unknown != test.unknown {
				t.Errorf("got %q, unknown %q; want %q, %q", got, unknown, test.want, test.unknown)
			}
		})
	}
}
