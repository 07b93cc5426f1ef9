// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"path/filepath"

	"github.com/isthmesh/isthmesh/test/lab/build"
	"github.com/isthmesh/isthmesh/test/lab/layout"
)

// Conformance are the images that the Gateway API's conformance suite runs, made
// of the same sources under the same names. They are made only when named.
var Conformance = []string{"gateway-api-echo-basic", "gateway-api-echo-advanced", "gateway-api-coredns"}

var conformance = []source{
	{"gateway-api-echo-basic", func(ctx context.Context, lab layout.Lab, _ string) (Recipe, error) {
		binary, err := build.Go(ctx, lab, build.EchoBasic)
		if err != nil {
			return Recipe{}, err
		}
		r, err := Static("gateway-api-echo-basic", "/echo-basic", binary, nobodyUser)
		r.As = tags("registry.k8s.io/gateway-api/echo-basic", "v1.5.1", "v1.6.0-dev.2", "v1.6.0-dev.3")
		return r, err
	}},
	{"gateway-api-coredns", func(ctx context.Context, lab layout.Lab, _ string) (Recipe, error) {
		binary, err := build.Go(ctx, lab, build.CoreDNS)
		if err != nil {
			return Recipe{}, err
		}
		r, err := Static("gateway-api-coredns", "/coredns", binary, rootUser)
		r.As = tags("registry.k8s.io/coredns/coredns", "v1.12.2")
		return r, err
	}},
	{"gateway-api-echo-advanced", echoAdvanced},
}

func tags(repository string, all ...string) []string {
	var names []string
	for _, t := range all {
		names = append(names, repository+":"+t)
	}
	return names
}

// echoAdvanced is Istio's echo: a server, the client that tests run in its pod,
// and a certificate.
func echoAdvanced(ctx context.Context, lab layout.Lab, _ string) (Recipe, error) {
	files, err := base()
	if err != nil {
		return Recipe{}, err
	}
	for _, program := range []build.Program{build.EchoServer, build.EchoClient} {
		binary, err := build.Go(ctx, lab, program)
		if err != nil {
			return Recipe{}, err
		}
		files = append(files, File{Path: "/usr/local/bin/" + filepath.Base(program.Package), Mode: 0o755, Source: binary})
	}
	istio, err := build.Upstream(ctx, lab)
	if err != nil {
		return Recipe{}, err
	}
	certificates := filepath.Join(istio, "tests", "testdata", "certs", "dns")
	files = append(files,
		File{Path: "/cert.crt", Mode: 0o644, Source: filepath.Join(certificates, "cert-chain.pem")},
		File{Path: "/cert.key", Mode: 0o644, Source: filepath.Join(certificates, "key.pem")})
	return Recipe{
		Name: "gateway-api-echo-advanced", Layers: [][]File{files}, Entrypoint: []string{"/usr/local/bin/server"}, User: nobodyUser,
		As: tags("registry.k8s.io/gateway-api/echo-advanced", "v1.5.1"),
	}, nil
}
