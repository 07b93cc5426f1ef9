// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"
	"io/fs"
	"os"
)

// Users that images run as.
const (
	rootUser    = "0:0"
	nobodyUser  = "65532:65532"
	sidecarUser = "1337:1337"
	sampleUser  = "1000:1000"
)

const sidecarID = 1337

const passwd = `root:x:0:0:root:/:/sbin/nologin
istio-proxy:x:1337:1337:istio-proxy:/home/istio-proxy:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin
`

const group = `root:x:0:
istio-proxy:x:1337:
nonroot:x:65532:
`

// certificates is where the authorities that this machine trusts are, for
// programs that call servers outside the mesh.
const certificates = "/etc/ssl/certs/ca-certificates.crt"

// Static is the recipe of an image with one static program at the given path.
func Static(name, target, source, user string) (Recipe, error) {
	base, err := base()
	if err != nil {
		return Recipe{}, err
	}
	return Recipe{
		Name:       name,
		Layers:     [][]File{base, {{Path: target, Mode: 0o755, Source: source}}},
		Entrypoint: []string{target},
		User:       user,
	}, nil
}

// Pause is the recipe of the image that holds a pod's namespaces.
func Pause(source string) Recipe {
	return Recipe{
		Name:       "lab-pause",
		Layers:     [][]File{{{Path: "/pause", Mode: 0o755, Source: source}}},
		Entrypoint: []string{"/pause"},
		User:       nobodyUser,
	}
}

// Proxy is the recipe of the image that runs beside every workload: Envoy with
// the libraries that it is linked to, and the agent.
func Proxy(envoy, agent string) (Recipe, error) {
	files, err := base()
	if err != nil {
		return Recipe{}, err
	}
	libraries, err := libraries(envoy)
	if err != nil {
		return Recipe{}, err
	}
	files = append(files, libraries...)
	files = append(files,
		File{Path: "/usr/local/bin/envoy", Mode: 0o755, Source: envoy},
		File{Path: "/etc/istio/proxy", Mode: 0o755, Owner: sidecarID},
		File{Path: "/var/lib/istio/data", Mode: 0o755, Owner: sidecarID},
	)
	return Recipe{
		Name:       "proxy",
		Layers:     [][]File{files, {{Path: "/usr/local/bin/isthmesh-agent", Mode: 0o755, Source: agent}}},
		Entrypoint: []string{"/usr/local/bin/isthmesh-agent"},
		User:       sidecarUser,
	}, nil
}

// base is what a program expects of a system.
func base() ([]File, error) {
	files := []File{
		{Path: "/etc/group", Mode: 0o644, Data: []byte(group)},
		{Path: "/etc/passwd", Mode: 0o644, Data: []byte(passwd)},
		{Path: "/tmp", Mode: 0o1777},
	}
	switch _, err := os.Stat(certificates); {
	case err == nil:
		files = append(files, File{Path: certificates, Mode: 0o644, Source: certificates})
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return files, nil
}
