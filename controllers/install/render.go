// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"sort"

	"github.com/fluxcd/pkg/ssa"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Render makes the objects of a chart, its definitions first, in the order in
// which they are to be applied; the same input gives the same output. Objects
// are shared between calls: read them, don't change them.
//
// Values are laid over the chart's own. Those that the chart doesn't know or
// that have a wrong type are a *ValuesError. The version is the cluster's, such
// as "v1.36.3".
func Render(chart string, values map[string]any, release, namespace, kubeVersion string) ([]*unstructured.Unstructured, error) {
	l, err := load(chart)
	if err != nil {
		return nil, err
	}
	version, err := common.ParseKubeVersion(kubeVersion)
	if err != nil {
		return nil, fmt.Errorf("render chart %s: Kubernetes version %q: %w", chart, kubeVersion, err)
	}
	if err := check(chart, l.chart.Schema, values); err != nil {
		return nil, err
	}
	capabilities := common.DefaultCapabilities.Copy()
	capabilities.KubeVersion = *version
	options := common.ReleaseOptions{Name: release, Namespace: namespace, Revision: 1, IsInstall: true}
	top, err := util.ToRenderValues(l.chart, values, options, capabilities)
	if err != nil {
		return nil, fmt.Errorf("render chart %s: %w", chart, err)
	}
	if r, ok := top["Release"].(map[string]any); ok {
		r["Service"] = managedBy
	}
	files, err := engine.Render(l.chart, top)
	if err != nil {
		return nil, fmt.Errorf("render chart %s: %w", chart, err)
	}
	out := slices.Clone(l.crds)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path.Ext(name) != ".yaml" {
			continue // notes for people, and parts of other templates
		}
		objects, err := parse([]byte(files[name]))
		if err != nil {
			return nil, fmt.Errorf("render chart %s, %s: %w", chart, name, err)
		}
		out = append(out, objects...)
	}
	order(out)
	return out, nil
}

// order sorts objects so that each comes after what it needs.
func order(objects []*unstructured.Unstructured) {
	sort.Stable(ssa.SortableUnstructureds(objects))
}
