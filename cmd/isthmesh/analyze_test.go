// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
)

const questionable = `
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {clusterIP: 10.96.0.10, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec: {hosts: [reviews], http: [{route: [{destination: {host: revews}}], timeout: 1us}]}
---
apiVersion: v1
kind: List
items:
- apiVersion: networking.istio.io/v1
  kind: VirtualService
  metadata: {name: typo, namespace: shop}
  spec: {hosts: [reviews], htpp: []}
- apiVersion: networking.istio.io/v1
  kind: Gateway
  metadata: {name: front, namespace: shop}
  spec: {selector: {istio: front}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"], defaultEndpoint: "127.0.0.1:80"}]}
---
a: [
`

func execute(t *testing.T, c *cobra.Command, in string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c.SilenceUsage, c.SilenceErrors = true, true
	c.SetArgs(args)
	c.SetIn(strings.NewReader(in))
	c.SetOut(&out)
	err := c.Execute()
	return out.String(), err
}

func TestValidate(t *testing.T) {
	out, err := execute(t, newValidateCommand(), questionable, "-f", "-")
	if !errors.Is(err, errFound) {
		t.Errorf("error is %v", err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	want := []string{
		"error [Invalid] Document 4: ",
		"error [Invalid] VirtualService shop/reviews spec.http[0].timeout: 1µs is too short",
		`error [UnknownField] VirtualService shop/typo spec.htpp: there is no such field in VirtualService; correct its name, or remove it`,
		"warning [NotSupported] Gateway shop/front spec.servers[0].defaultEndpoint: ",
	}
	if len(lines) != len(want) {
		t.Fatalf("output is\n%s", out)
	}
	for i := range want {
		if !strings.HasPrefix(lines[i], want[i]) {
			t.Errorf("line %d is %q, want %q", i, lines[i], want[i])
		}
	}
}

func TestValidateSound(t *testing.T) {
	sound := "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: x, namespace: shop}\nspec: {host: reviews}\n"
	out, err := execute(t, newValidateCommand(), sound, "-f", "-", "-o", "json")
	if err != nil || out != "[]\n" {
		t.Errorf("output is %q, error %v", out, err)
	}
	if _, err := execute(t, newValidateCommand(), "", "-o", "yaml", "-f", "-"); err == nil {
		t.Error("an unknown output format was taken")
	}
	if _, err := execute(t, newValidateCommand(), ""); err == nil {
		t.Error("no file was taken")
	}
}

func TestAnalyze(t *testing.T) {
	access := genericclioptions.NewConfigFlags(true)
	out, err := execute(t, newAnalyzeCommand(access), questionable, "-f", "-")
	if !errors.Is(err, errFound) {
		t.Errorf("error is %v", err)
	}
	for _, want := range []string{
		"error [Invalid] Document 4: ",
		`error [UnknownField] VirtualService shop/typo spec.htpp: there is no such field in VirtualService; correct its name, or remove it`,
		"error [Invalid] VirtualService shop/reviews spec.http[0].timeout: ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	misspelt := strings.Replace(strings.Split(questionable, "---\napiVersion: v1\nkind: List")[0], ", timeout: 1us", "", 1)
	out, err = execute(t, newAnalyzeCommand(access), misspelt, "-f", "-")
	if err != nil {
		t.Errorf("warnings are no errors: %v", err)
	}
	want := `warning [HostNotFound] VirtualService shop/reviews spec.http[0].route[0].destination.host: ` +
		`no service is called "revews.shop.svc.cluster.local"; correct the name, or add a ServiceEntry for it; did you mean "reviews.shop.svc.cluster.local"?` + "\n"
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	if _, err := execute(t, newAnalyzeCommand(access), misspelt, "-f", "-", "--strict"); !errors.Is(err, errFound) {
		t.Errorf("strict: error is %v", err)
	}
}
