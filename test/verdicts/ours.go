// SPDX-License-Identifier: Apache-2.0

package verdicts

import (
	"fmt"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/validate"
)

// Settings of the mesh in which the cases are judged.
var Settings = model.Settings{RootNamespace: "istio-system", TrustDomain: "cluster.local", DomainSuffix: "cluster.local", Cluster: "Kubernetes"}

// Ours is our verdict on a case, and what it says.
func Ours(c Case) (Verdict, validate.Verdict, error) {
	text, err := c.JSON()
	if err != nil {
		return 0, validate.Verdict{}, fmt.Errorf("%s: %w", c.Name, err)
	}
	v := validate.Object(c.Group(), c.Kind(), text, Settings)
	return Of(v), v, nil
}

// Of is the verdict in one letter.
func Of(v validate.Verdict) Verdict {
	switch {
	case len(v.Refused) > 0:
		return Refused
	case len(v.Warnings) > 0:
		return Warned
	}
	return Accepted
}
