// SPDX-License-Identifier: Apache-2.0

package compared

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"
)

// Case is one set of objects, and the calls that are asked of it.
type Case struct {
	// File it stands in, and its Name there.
	File, Name string
	// Cluster are the lines of Objects; YAML the objects of Istio's kinds beside
	// them; Mesh the MeshConfig.
	Cluster, YAML, Mesh string
	Calls               []string
	// Istio is what Istio's control plane answered, as Run writes it.
	Istio string
}

func (c *Case) String() string {
	return strings.TrimSuffix(filepath.Base(c.File), ".txtar") + "/" + c.Name
}

// The parts of a case.
const (
	partYAML, partMesh, partCalls, partIstio, partCluster = "yaml", "mesh", "calls", "istio", "cluster"
)

// Cases of the files of a folder. A file's part "cluster" is for all of its cases,
// beside the lines of cluster.txt that all files share; then come the parts
// NAME.cluster, NAME.yaml, NAME.mesh, NAME.calls and NAME.istio of each case.
func Cases(folder string) ([]*Case, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.txtar"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no cases in %s: %w", folder, err)
	}
	shared, err := os.ReadFile(filepath.Join(folder, "cluster.txt")) //nolint:gosec // a test's own file
	if err != nil {
		return nil, err
	}
	var out []*Case
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			return nil, err
		}
		cases, err := casesOf(file, string(shared), archive)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		out = append(out, cases...)
	}
	return out, nil
}

func casesOf(file, cluster string, archive *txtar.Archive) ([]*Case, error) {
	var out []*Case
	for _, f := range archive.Files {
		name, part, ok := strings.Cut(f.Name, ".")
		if !ok && name == partCluster {
			cluster += string(f.Data)
			continue
		}
		i := slices.IndexFunc(out, func(c *Case) bool { return c.Name == name })
		if i < 0 {
			i = len(out)
			out = append(out, &Case{File: file, Name: name, Cluster: cluster})
		}
		c := out[i]
		switch part {
		case partCluster:
			c.Cluster += string(f.Data)
		case partYAML:
			c.YAML = string(f.Data)
		case partMesh:
			c.Mesh = string(f.Data)
		case partCalls:
			c.Calls = strings.Split(strings.TrimSpace(string(f.Data)), "\n")
		case partIstio:
			c.Istio = string(f.Data)
		default:
			return nil, fmt.Errorf("part %q is not one of a case", f.Name)
		}
	}
	return out, nil
}

// Record writes what Istio answered to the cases into their files.
func Record(cases []*Case) error {
	files := map[string]*txtar.Archive{}
	for _, c := range cases {
		archive := files[c.File]
		if archive == nil {
			var err error
			if archive, err = txtar.ParseFile(c.File); err != nil {
				return err
			}
			files[c.File] = archive
		}
		archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name == c.Name+"."+partIstio })
		at := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == c.Name+"."+partCalls })
		archive.Files = slices.Insert(archive.Files, at+1, txtar.File{Name: c.Name + "." + partIstio, Data: []byte(c.Istio)})
	}
	for name, archive := range files {
		if err := os.WriteFile(name, txtar.Format(archive), 0o600); err != nil {
			return err
		}
	}
	return nil
}
