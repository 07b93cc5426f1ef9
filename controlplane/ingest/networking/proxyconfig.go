// SPDX-License-Identifier: Apache-2.0

package networking

import (
	networking "istio.io/client-go/pkg/apis/networking/v1beta1"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/proxyconfig"
)

const kindProxyConfig = "ProxyConfig"

// readProxyConfig reads what proxies are given when they start. It is nil when
// its selector can't be used, or nothing is left of it.
func readProxyConfig(o *networking.ProxyConfig, settings *model.Settings) (*model.ProxyConfig, []model.Problem) {
	r := newReader(kindProxyConfig, o, settings)
	selector, ok := r.labels("spec.selector.matchLabels", o.Spec.GetSelector().GetMatchLabels())
	out := &model.ProxyConfig{Origin: r.origin, Selector: selector}
	if c := o.Spec.GetConcurrency(); c != nil {
		n := c.GetValue()
		if n < 0 || n > proxyconfig.MaxConcurrency {
			r.refuse("spec.concurrency", "%d is no number of workers; use 0 for one per processor, or 1 to %d", n, proxyconfig.MaxConcurrency)
		} else {
			out.Concurrency = &n
		}
	}
	variables := o.Spec.GetEnvironmentVariables()
	for _, name := range sortedKeys(variables) {
		f, set := proxyconfig.Variable(name, variables[name])
		if f != nil {
			r.found("spec.environmentVariables["+f.Field+"]", *f)
		}
		if set {
			out.Environment = append(out.Environment, model.Header{Name: name, Value: variables[name]})
		}
	}
	kind := o.Spec.GetImage().GetImageType()
	if f := proxyconfig.ImageType(kind, settings.ProxyImageTypes); f != nil {
		r.found("spec."+f.Field, *f)
	} else {
		out.ImageType = kind
	}
	if !ok || out.Concurrency == nil && out.Environment == nil && out.ImageType == "" {
		return nil, r.problems
	}
	return out, r.problems
}

// found notes what another package finds wrong.
func (r *reader) found(field string, f proxyconfig.Finding) {
	if f.Reason == proxyconfig.Invalid {
		r.refuse(field, "%s", f.Message)
		return
	}
	r.tell(field, f.Reason, "%s", f.Message)
}

// twoConfigs tells of ProxyConfigs beside an older one of the same scope, which
// holds. With selectors those of the same labels clash; others may choose the same
// pod too, then the oldest of them holds for it.
func twoConfigs(configs []*model.ProxyConfig) []model.Problem {
	type scope struct {
		namespace string
		selector  model.Labels
	}
	first := map[scope]*model.ProxyConfig{}
	var problems []model.Problem
	for _, c := range configs {
		k := scope{c.Namespace, c.Selector}
		older := first[k]
		if older == nil {
			first[k] = c
			continue
		}
		of := "all workloads of this namespace"
		if c.Selector != "" {
			of = "workloads with the same labels"
		}
		problems = append(problems, c.Problem("spec.selector", conflict,
			"ProxyConfig "+older.Namespace+"/"+older.Name+" is older and for "+of+", so it holds and nothing of this one does; put them together, or change the selector"))
	}
	return problems
}
