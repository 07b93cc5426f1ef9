// SPDX-License-Identifier: Apache-2.0

package scope_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/scope"
)

// defined is a policy with subsets "name:labels".
func defined(key, host string, subsets ...string) *model.DestinationPolicy {
	namespace, name, _ := strings.Cut(key, "/")
	p := &model.DestinationPolicy{Origin: model.Origin{Kind: "DestinationRule", Namespace: namespace, Name: name}, Host: host}
	for _, s := range subsets {
		name, labels, _ := strings.Cut(s, ":")
		p.Subsets = append(p.Subsets, model.Subset{Name: name, Labels: model.Labels(labels)})
	}
	return p
}

// TestOffered: which subsets other members may ask for, and which of two with one name.
func TestOffered(t *testing.T) {
	const own, alias = "reviews.shop.svc.cluster.local", "reviews.shop.svc.clusterset.local"
	many := make([]string, scope.MostOffered+1)
	for i := range many {
		many[i] = fmt.Sprintf("s%03d:v=%d", i, i)
	}
	for name, c := range map[string]struct {
		policies []*model.DestinationPolicy
		want     string
	}{
		"None":            {nil, ""},
		"Own":             {[]*model.DestinationPolicy{defined("shop/a", own, "v2:version=v2", "v1:version=v1")}, "v1:version=v1 v2:version=v2"},
		"OtherHost":       {[]*model.DestinationPolicy{defined("shop/a", "other.shop.svc.cluster.local", "v1:version=v1")}, ""},
		"Alias":           {[]*model.DestinationPolicy{defined("shop/a", alias, "v1:version=v1")}, "v1:version=v1"},
		"Wildcard":        {[]*model.DestinationPolicy{defined("shop/a", "*.shop.svc.cluster.local", "v1:version=v1")}, "v1:version=v1"},
		"WithoutLabels":   {[]*model.DestinationPolicy{defined("shop/a", own, "all:")}, ""},
		"ByMember":        {[]*model.DestinationPolicy{defined("shop/a", own, "east:topology.istio.io/cluster=east")}, ""},
		"OfAnotherMember": {[]*model.DestinationPolicy{defined("shop/a", own, "w1:topology.istio.io/cluster=west,version=v1")}, ""},
		"OfThisMember":    {[]*model.DestinationPolicy{defined("shop/a", own, "e1:topology.istio.io/cluster=east,version=v1")}, "e1:topology.istio.io/cluster=east,version=v1"},
		"OldestHolds":     {[]*model.DestinationPolicy{defined("shop/a", own, "v1:version=v1"), defined("shop/b", own, "v1:version=1", "v2:version=v2")}, "v1:version=v1 v2:version=v2"},
		"NamespacesInTurn": {[]*model.DestinationPolicy{
			defined("bank/a", own, "v1:from=bank", "v2:from=bank", "v3:from=bank"), defined("istio-system/b", own, "v1:from=root", "v2:from=root"), defined("shop/c", own, "v1:from=shop"),
		}, "v1:from=shop v2:from=root v3:from=bank"},
		"HostsInTurn": {[]*model.DestinationPolicy{
			defined("shop/a", "*.cluster.local", "v1:by=suffix", "v2:by=suffix", "v3:by=suffix", "v4:by=suffix"), defined("shop/b", "*.shop.svc.cluster.local", "v1:by=namespace", "v2:by=namespace", "v3:by=namespace"),
			defined("shop/c", alias, "v1:by=alias", "v2:by=alias"), defined("shop/d", own, "v1:by=name"),
		}, "v1:by=name v2:by=alias v3:by=namespace v4:by=suffix"},
		"CaseOfNames": {[]*model.DestinationPolicy{defined("shop/a", own, "V1:version=v1", "v1:version=1")}, "V1:version=v1"},
		"TooMany":     {[]*model.DestinationPolicy{defined("shop/a", own, many...)}, strings.Join(many[:scope.MostOffered], " ") + " TooManySubsets shop/a"},
	} {
		t.Run(name, func(t *testing.T) {
			reviews, secret := service("shop/reviews"), service("shop/secret")
			reviews.Local, reviews.Exported, reviews.Aliases, secret.Local = true, true, []model.Hostname{alias}, true
			m := mesh(reviews, secret)
			m.Settings = &model.Settings{RootNamespace: "istio-system", DomainSuffix: "cluster.local", Cluster: "east", Network: "east"}
			m.Policies = append(c.policies, defined("shop/z", "secret.shop.svc.cluster.local", "v9:version=v9"))
			offered, problems := scope.Offered(m)
			var got []string
			for _, s := range offered[reviews] {
				got = append(got, s.Name+":"+string(s.Labels))
			}
			for _, p := range problems {
				got = append(got, p.Reason, p.Namespace+"/"+p.Name)
			}
			if d := cmp.Diff(c.want, strings.Join(got, " ")); d != "" {
				t.Error(d)
			}
			if len(offered[secret]) > 0 {
				t.Errorf("subsets %v of a service that is not exported are offered", offered[secret])
			}
		})
	}
}
