// SPDX-License-Identifier: Apache-2.0

package readiness_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/isthmesh/isthmesh/controlplane/agent/readiness"
)

var here = []netip.Addr{netip.MustParseAddr("127.0.0.1")}

// parse a probe of JSON.
func parse(t *testing.T, text string) (*readiness.Probe, error) {
	t.Helper()
	p := &networking.ReadinessProbe{}
	if err := p.UnmarshalJSON([]byte(text)); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return readiness.Parse(p, here)
}

func TestParse(t *testing.T) {
	cases := map[string]struct {
		text string
		want readiness.Probe
	}{
		"Defaults": {`{"tcpSocket":{"port":80}}`, readiness.Probe{Timeout: time.Second, Period: 10 * time.Second, Successes: 1, Failures: 3}},
		"Whole": {
			`{"initialDelaySeconds":5,"timeoutSeconds":4,"periodSeconds":3,"successThreshold":2,"failureThreshold":6,"exec":{"command":["true"]}}`,
			readiness.Probe{Delay: 5 * time.Second, Timeout: 4 * time.Second, Period: 3 * time.Second, Successes: 2, Failures: 6},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := parse(t, c.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, *got, cmpopts.IgnoreFields(readiness.Probe{}, "Ask")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if p, err := readiness.Parse(nil, here); p != nil || err != nil {
		t.Errorf("no probe becomes %v, %v", p, err)
	}
}

func TestParseErrors(t *testing.T) {
	cases := map[string]struct{ text, err string }{
		"Delay":       {`{"initialDelaySeconds":-1,"tcpSocket":{"port":80}}`, "initialDelaySeconds is -1"},
		"Timeout":     {`{"timeoutSeconds":-1,"tcpSocket":{"port":80}}`, "timeoutSeconds is -1"},
		"Period":      {`{"periodSeconds":-1,"tcpSocket":{"port":80}}`, "periodSeconds is -1"},
		"Successes":   {`{"successThreshold":-1,"tcpSocket":{"port":80}}`, "successThreshold is -1"},
		"Failures":    {`{"failureThreshold":-1,"tcpSocket":{"port":80}}`, "failureThreshold is -1"},
		"Nothing":     {`{}`, "set one of httpGet, tcpSocket, exec and grpc"},
		"NoPort":      {`{"httpGet":{"path":"/"}}`, "httpGet.port is 0"},
		"HighPort":    {`{"tcpSocket":{"port":65536}}`, "tcpSocket.port is 65536"},
		"GRPCPort":    {`{"grpc":{}}`, "grpc.port is 0"},
		"Scheme":      {`{"httpGet":{"port":80,"scheme":"ftp"}}`, `httpGet.scheme is "ftp"`},
		"Path":        {`{"httpGet":{"port":80,"path":"healthz"}}`, `httpGet.path is "healthz"`},
		"PathIsAURL":  {`{"httpGet":{"port":80,"path":"http://elsewhere/"}}`, "httpGet.path"},
		"PathHasHost": {`{"httpGet":{"port":80,"path":"//elsewhere/"}}`, "httpGet.path"},
		"HeaderName":  {`{"httpGet":{"port":80,"httpHeaders":[{"name":"a"},{"name":"b c"}]}}`, "httpGet.httpHeaders[1]"},
		"HeaderValue": {`{"httpGet":{"port":80,"httpHeaders":[{"name":"a","value":"b\r\nc: d"}]}}`, "httpGet.httpHeaders[0]"},
		"NoCommand":   {`{"exec":{}}`, "exec.command is empty"},
		"EmptyFirst":  {`{"exec":{"command":[""]}}`, "exec.command is empty"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := parse(t, c.text); err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}
