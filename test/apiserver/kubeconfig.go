// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

// PointedAt is a kubeconfig with another address of its server.
func PointedAt(t testing.TB, kubeconfig []byte, url string) []byte {
	t.Helper()
	config, err := clientcmd.Load(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range config.Clusters {
		c.Server = url
	}
	out, err := clientcmd.Write(*config)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
