// SPDX-License-Identifier: Apache-2.0

package model_test

import (
	"testing"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestLocalHosts: the most particular name decides, and of equal ones the last.
func TestLocalHosts(t *testing.T) {
	const host = "reviews.shop.svc.cluster.local"
	for name, c := range map[string]struct {
		hosts model.LocalHosts
		want  bool
	}{
		"None":            {nil, false},
		"All":             {model.LocalHosts{{Host: "*", Local: true}}, true},
		"ByName":          {model.LocalHosts{{Host: host, Local: true}}, true},
		"Namespace":       {model.LocalHosts{{Host: "*.shop.svc.cluster.local", Local: true}}, true},
		"OtherNamespace":  {model.LocalHosts{{Host: "*.bank.svc.cluster.local", Local: true}}, false},
		"AllButNamespace": {model.LocalHosts{{Host: "*.shop.svc.cluster.local"}, {Host: "*", Local: true}}, false},
		"NameInNamespace": {model.LocalHosts{{Host: host, Local: true}, {Host: "*.shop.svc.cluster.local"}}, true},
		"NotThisName":     {model.LocalHosts{{Host: "*.shop.svc.cluster.local", Local: true}, {Host: host}}, false},
		"SaidAgain":       {model.LocalHosts{{Host: host, Local: true}, {Host: host}}, false},
		"AllAgain":        {model.LocalHosts{{Host: "*"}, {Host: "*", Local: true}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.hosts.Has(host); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
