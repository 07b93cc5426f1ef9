// SPDX-License-Identifier: Apache-2.0

package extensions

import (
	"cmp"
	"slices"

	extensions "istio.io/client-go/pkg/apis/extensions/v1alpha1"

	"github.com/isthmesh/isthmesh/controlplane/ingest/keep"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Input is what plugins are made of. Nothing in it is modified.
type Input struct {
	WasmPlugins []*extensions.WasmPlugin
	// Modules that were fetched, by what was wanted.
	Modules map[Wanted]*model.WasmModule
	// Failures say why a module isn't there, or is still an old one.
	Failures map[Wanted]string
	Settings *model.Settings
}

// Output is the plugins, oldest first, and what is wrong with them.
type Output struct {
	Plugins []*model.WasmPlugin
	// Wanted are the modules to fetch, sorted, each once.
	Wanted   []Wanted
	Problems []model.Problem

	in Input
}

// Wanted is a module to fetch. Equal values are fetched once.
type Wanted struct {
	// URL begins with oci://, http:// or https://.
	URL string
	// SHA256 of the module, or of an image's manifest, in hex; empty for any.
	SHA256 string
	// Namespace and Secret of the pull credentials; both empty for none.
	Namespace, Secret string
	// Revision of the object, for one whose module is fetched again whenever the
	// object changes; empty for the others.
	Revision string
}

// Source is what is fetched, without the occasion.
func (w Wanted) Source() Wanted {
	w.Revision = ""
	return w
}

// Compare orders wishes.
func (w Wanted) Compare(v Wanted) int {
	return cmp.Or(cmp.Compare(w.URL, v.URL), cmp.Compare(w.SHA256, v.SHA256), cmp.Compare(w.Namespace, v.Namespace),
		cmp.Compare(w.Secret, v.Secret), cmp.Compare(w.Revision, v.Revision))
}

// Build makes the plugins of a mesh. Prev is the last output, or nil; it decides
// which pointers are shared, never what the output says.
func Build(in Input, prev *Output) *Output {
	if prev != nil && keep.Same(prev.in, in) {
		return prev
	}
	if prev == nil {
		prev = &Output{}
	}
	if in.Settings == nil {
		in.Settings = &model.Settings{}
	}
	out := &Output{in: in}
	for _, o := range in.WasmPlugins {
		r := newReader(o, in.Settings)
		plugin, wanted := r.plugin(o)
		if plugin.Invalid == "" && plugin.File == "" {
			out.Wanted = append(out.Wanted, wanted)
			plugin.Module = in.Modules[wanted]
			if why := in.Failures[wanted]; why != "" {
				r.unavailable(plugin, why)
			}
		}
		out.Plugins = append(out.Plugins, plugin)
		out.Problems = append(out.Problems, r.problems...)
	}
	slices.SortFunc(out.Plugins, func(a, b *model.WasmPlugin) int { return a.Older(b.Origin) })
	out.Plugins = keep.Share(prev.Plugins, out.Plugins)
	slices.SortFunc(out.Wanted, Wanted.Compare)
	out.Wanted = keep.Slice(prev.Wanted, slices.Compact(out.Wanted))
	out.Problems = keep.Slice(prev.Problems, out.Problems)
	return out
}
