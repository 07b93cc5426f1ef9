// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const translated = `
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {clusterIP: 10.96.0.10, ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: reviews-a, namespace: shop, labels: {kubernetes.io/service-name: reviews}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints:
- {addresses: [10.0.0.1], conditions: {ready: true}, targetRef: {kind: Pod, name: reviews-1}}
---
apiVersion: v1
kind: Pod
metadata: {name: reviews-1, namespace: shop}
spec: {serviceAccountName: reviews, containers: [{name: istio-proxy}]}
status: {podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews, namespace: shop}
`

func translate(t *testing.T, args ...string) (out, warnings string, err error) {
	t.Helper()
	var o, w bytes.Buffer
	c := newTranslateCommand()
	c.SilenceUsage, c.SilenceErrors = true, true
	c.SetArgs(args)
	c.SetIn(strings.NewReader(translated))
	c.SetOut(&o)
	c.SetErr(&w)
	err = c.Execute()
	return o.String(), w.String(), err
}

func TestTranslate(t *testing.T) {
	const want = `endpoints:
- cluster_name: outbound|80||reviews.shop.svc.cluster.local
  endpoints:
  - lb_endpoints:
    - endpoint:
        address:
          socket_address:
            address: 10.0.0.1
            port_value: 8080
      load_balancing_weight: 1
      metadata:
        filter_metadata:
          envoy.transport_socket_match:
            tlsMode: istio
    load_balancing_weight: 1
    locality: {}
`
	out, warnings, err := translate(t, "-f", "-", "--proxy", "shop/reviews-1", "--type", "eds")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, out); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if want := "Deployment shop/reviews: a mesh is not made of it, left out\n"; warnings != want {
		t.Errorf("warnings %q, want %q", warnings, want)
	}
	for name, c := range map[string]struct {
		args      []string
		has, lack string
	}{
		"Pod":      {[]string{"--proxy", "shop/reviews-1"}, "virtualInbound", "0.0.0.0_15443"},
		"Shared":   {[]string{"-o", "json"}, "outbound|80||reviews.shop.svc.cluster.local", "virtualInbound"},
		"EastWest": {[]string{"--east-west"}, "0.0.0.0_15443", "virtualOutbound"},
		"Suffix":   {[]string{"--domain-suffix", "corp.local"}, "reviews.shop.svc.corp.local", "cluster.local\""},
	} {
		t.Run(name, func(t *testing.T) {
			out, _, err := translate(t, append(c.args, "-f", "-")...)
			if err != nil || !strings.Contains(out, c.has) || strings.Contains(out, c.lack) {
				t.Errorf("%v: want %q and no %q in\n%s", err, c.has, c.lack, out)
			}
		})
	}
}

func TestTranslateRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"NoFile":      {nil, "name a file with -f"},
		"MissingFile": {[]string{"-f", "testdata/no-such-file"}, "no such file"},
		"NoSuchPod":   {[]string{"-f", "-", "--proxy", "shop/nobody"}, "no such pod"},
		"NoNamespace": {[]string{"-f", "-", "--proxy", "nobody"}, "is not namespace/pod"},
		"Output":      {[]string{"-f", "-", "-o", "xml"}, "use yaml or json"},
		"Type":        {[]string{"-f", "-", "--type", "sds"}, "use cds, eds"},
		"Both":        {[]string{"-f", "-", "--proxy", "a/b", "--east-west"}, "exclude each other"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := translate(t, c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one about %q", err, c.want)
			}
		})
	}
}
