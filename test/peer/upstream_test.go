// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/test/verdicts"
)

// otherwise are the objects among Istio's own on which our verdict is meant to be
// another one, by a part of the file's path and the object, with the reason.
var otherwise = map[string]string{
	"testdata/envoy-filter-add-operation.yaml":        "fields that Envoy doesn't have",
	"testdata/envoy-filter-replace-operation.yaml":    "fields that Envoy doesn't have",
	"crds/serviceentry-valid.yaml":                    "a wildcard that is a part of a label matches nothing",
	"RequestAuthentication.yaml":                      "keys of an issuer without an address can't be discovered",
	"samples/multicluster/expose-istiod-https.yaml":   "a placeholder for a name",
	"tests/testdata/config/destination-rule-all.yaml": "a name of the cluster's own in another namespace than its",
	"tests/testdata/config/static-weighted-se.yaml":   "a name of the cluster's own in another namespace than its",
}

// TestUpstream judges the objects of Istio's samples and of its tests, as they
// stand in the module cache.
func TestUpstream(t *testing.T) {
	root := moduleDir(t, "istio.io/istio")
	asked := newIstio(t)
	judged, differ := 0, 0
	needed := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".yaml") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		objects, err := verdicts.Objects(text)
		if err != nil {
			return nil //nolint:nilerr // templates, and what is meant to be no YAML
		}
		file, _ := filepath.Rel(root, path)
		for i, o := range objects {
			delete(o, "_err") // what Istio's own tests expect
			c := verdicts.Case{Name: fmt.Sprintf("%s#%d", file, i), Object: o}
			said, words := asked.verdict(t, o)
			ours, v, err := verdicts.Ours(c)
			if err != nil {
				t.Fatal(err)
			}
			judged++
			if said == verdicts.Schema || said.Stored() == ours.Stored() {
				continue
			}
			differ++
			explained := false
			for where := range otherwise {
				if strings.Contains(c.Name, where) {
					needed[where], explained = true, true
				}
			}
			if !explained {
				t.Errorf("%s %s: Istio has it %v (%.200s), we have it %v: %.300q", c.Name, c.Kind(), said, words, ours, append(v.Refused, v.Warnings...))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for where := range otherwise {
		if !needed[where] {
			t.Errorf("nothing differs any more in %s", where)
		}
	}
	t.Logf("%d objects, of which %d are judged otherwise", judged, differ)
	if judged < 300 {
		t.Errorf("only %d objects were found", judged)
	}
}
