// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"
)

// Define adds kinds to the API server, by the YAML of their definitions.
func (s *Server) Define(t testing.TB, definitions ...[]byte) {
	t.Helper()
	var all []*apiextensionsv1.CustomResourceDefinition
	for _, text := range definitions {
		definition := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.Unmarshal(text, definition); err != nil {
			t.Fatal(err)
		}
		all = append(all, definition)
	}
	if _, err := envtest.InstallCRDs(s.Config, envtest.CRDInstallOptions{CRDs: all, MaxTime: Patience}); err != nil {
		t.Fatal(err)
	}
}
