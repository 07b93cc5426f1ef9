// SPDX-License-Identifier: Apache-2.0

package security

import (
	"github.com/isthmesh/isthmesh/controlplane/ingest/target"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// target reads what a policy applies to.
func (r *reader) target(spec target.Spec) model.Target {
	return target.Owner{
		Noun: "policy", Plural: "policies", Namespace: r.origin.Namespace, RootNamespace: r.settings.RootNamespace,
		Refuse: r.refuse, Unused: func(field, format string, args ...any) { r.tell(field, notSupported, format, args...) },
	}.Read(spec)
}
