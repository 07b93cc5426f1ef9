// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"
)

// TestKubeInjectOffline: with all of its configuration from files, ProxyConfigs too.
func TestKubeInjectOffline(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	template, err := os.ReadFile("../../charts/istiod/files/injection-template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config, err := yaml.Marshal(map[string]any{"templates": map[string]string{"sidecar": string(template)}})
	if err != nil {
		t.Fatal(err)
	}
	const app = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: app, image: app}]}}}
`
	const object = `apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: NAME, namespace: NAMESPACE}
spec: SPEC
`
	proxies := func(name, namespace, spec string) string {
		return file(name+".yaml", strings.NewReplacer("NAMESPACE", namespace, "NAME", name, "SPEC", spec).Replace(object))
	}
	offline := []string{
		"-f", file("app.yaml", app), "--injectConfigFile", file("config", string(config)), "--valuesFile", "../../charts/istiod/values.yaml",
		"--meshConfigFile", file("mesh", "rootNamespace: root\ndefaultConfig: {concurrency: 1}"),
	}
	cases := map[string]struct {
		args []string
		want string
		// warning and err are parts of what is told.
		warning, err string
	}{
		"None": {want: `{"concurrency":1}`},
		"Two": {
			args: []string{"--proxyConfigFile", proxies("mesh", "root", "{concurrency: 2, environmentVariables: {A: root}}"), "--proxyConfigFile", proxies("own", "shop", "{concurrency: 3, image: {imageType: debug}}")},
			want: `{"concurrency":3,"proxyMetadata":{"A":"root"}}`, warning: `warning: ProxyConfig shop/own: field spec.image.imageType: this mesh has no proxy image of type "debug"`,
		},
		"NotThere": {args: []string{"--proxyConfigFile", filepath.Join(dir, "nothing")}, err: "--proxyConfigFile"},
		"NotYAML":  {args: []string{"--proxyConfigFile", file("bad", "{")}, err: "--proxyConfigFile"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var out, warnings bytes.Buffer
			cmd := newKubeInjectCommand(genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &warnings}, genericclioptions.NewConfigFlags(false))
			cmd.SilenceUsage, cmd.SilenceErrors = true, true
			cmd.SetArgs(append(append([]string{}, offline...), c.args...))
			err := cmd.Execute()
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out.String(), "value: '"+c.want+"'") {
				t.Errorf("no %s in\n%s", c.want, out.String())
			}
			if c.warning == "" != (warnings.Len() == 0) || !strings.Contains(warnings.String(), c.warning) {
				t.Errorf("warnings %q, want %q", warnings.String(), c.warning)
			}
		})
	}
}
