// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/test/clashes"
)

// TestTheOldestWins: of two objects that clash the one that was there first stays
// in force, whatever their names, and the other's status names it, whether a proxy
// is there that follows them or not; when the first is gone, the other takes its
// place.
func TestTheOldestWins(t *testing.T) {
	cp := theControlPlane(t)
	const ns = clashes.Namespace
	cp.apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: "+ns+"}}\n---\n"+clashes.Beside)
	t.Cleanup(func() { cp.clear(ns) })
	all := slices.Sorted(maps.Keys(clashes.All))
	each := func(phase string, check func(t *testing.T, c clashes.Clash, winner, loser string)) {
		t.Run(phase, func(t *testing.T) {
			for _, name := range all {
				t.Run(name, func(t *testing.T) {
					winner, loser := clashes.Names(name)
					check(t, clashes.All[name], winner, loser)
				})
			}
		})
	}
	var last metav1.Time
	for _, name := range all {
		winner, _ := clashes.Names(name)
		last = cp.put(t, clashes.All[name], winner)
	}
	// Ages are in seconds, and of one second the name decides: the others are to be younger.
	eventually(t, func() string {
		_, loser := clashes.Names(all[0])
		if now := cp.put(t, clashes.All[all[0]], loser, metav1.DryRunAll); !last.Before(&now) {
			return "the API server's clock stands still"
		}
		return ""
	})
	for _, name := range all {
		_, loser := clashes.Names(name)
		cp.put(t, clashes.All[name], loser)
	}
	each("Told", func(t *testing.T, c clashes.Clash, winner, loser string) {
		cp.says(t, c.Kind, ns+"/"+loser, "False "+c.Reason+": "+c.Field, " "+ns+"/"+winner)
		// What it was told before all that it refers to was read is taken back.
		eventually(t, func() string {
			if got := cp.condition(t, c.Kind, ns+"/"+winner); strings.HasPrefix(got, "False") {
				return "the oldest has a condition: " + got
			}
			return ""
		})
	})
	proxies := map[string]*proxy{
		"client":  cp.namespaceWithClient(t, ns, "10.1.0.4"),
		"gateway": cp.namespaceWithGateway(t, ns, "10.1.0.5", map[string]string{"istio": "clashing"}),
	}
	follows := func(t *testing.T, c clashes.Clash, winner, loser string) {
		t.Helper()
		if c.InForce == "" {
			return
		}
		for name, is := range map[string]bool{winner: true, loser: false} {
			if text := clashes.Filled(c.InForce, name); text != "" {
				proxies[c.At].has(t, is, text)
			}
		}
	}
	each("InForce", func(t *testing.T, c clashes.Clash, winner, loser string) {
		follows(t, c, winner, loser)
		// It is as true with proxies.
		cp.says(t, c.Kind, ns+"/"+loser, "False "+c.Reason+": "+c.Field, " "+ns+"/"+winner)
	})
	for _, name := range all {
		winner, _ := clashes.Names(name)
		cp.remove(t, clashes.All[name].Kind, ns+"/"+winner)
	}
	each("TakesOver", func(t *testing.T, c clashes.Clash, winner, loser string) {
		follows(t, c, loser, winner)
		cp.says(t, c.Kind, ns+"/"+loser, "True Reconciled")
	})
	cp.alive(t)
}

// put an object of a clash there; it returns when it was made.
func (cp *controlPlane) put(t *testing.T, c clashes.Clash, name string, dryRun ...string) metav1.Time {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(c.Object(name, "")), &u.Object); err != nil {
		t.Fatal(err)
	}
	options := createOptions
	options.DryRun = dryRun
	api, _ := cp.object(t, c.Kind, clashes.Namespace+"/"+name)
	u, err := api.Create(t.Context(), u, options)
	if err != nil {
		t.Fatal(err)
	}
	return u.GetCreationTimestamp()
}

// TestAnIngressIsToldByEvents: an Ingress has no conditions, so what is wrong with
// it is an Event, once for as long as it lasts.
func TestAnIngressIsToldByEvents(t *testing.T) {
	cp := theControlPlane(t)
	const ns = "ingresses"
	cp.apply(t, `{apiVersion: v1, kind: Namespace, metadata: {name: ingresses}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: nowhere, namespace: ingresses, annotations: {kubernetes.io/ingress.class: istio}},
  spec: {rules: [{host: nowhere.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: missing, port: {number: 80}}}}]}}]}}
`)
	told := func() []string {
		list, err := cp.kube.EventsV1().Events(ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, e := range list.Items {
			if e.Regarding.Kind == "Ingress" && e.Regarding.UID != "" {
				out = append(out, e.Type+" "+e.Reason+" "+e.Regarding.Name+" "+e.Note)
			}
		}
		return out
	}
	want := `Warning UnknownDestination nowhere spec.rules[0].http.paths[0].backend: requests get 500: there is no Service "missing" in namespace "ingresses"; create it, or mend the name`
	eventuallyUntil(t, time.Now().Add(patience), func() string {
		if got := told(); !slices.Equal(got, []string{want}) {
			return "events are " + strings.Join(got, "\n")
		}
		return ""
	})
	// Whatever else happens in the mesh, it is not told again.
	cp.apply(t, `{apiVersion: v1, kind: Service, metadata: {name: other, namespace: ingresses}, spec: {ports: [{name: http, port: 80}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: second, namespace: ingresses, annotations: {kubernetes.io/ingress.class: istio}},
  spec: {rules: [{host: second.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: other, port: {name: none}}}}]}}]}}
`)
	eventuallyUntil(t, time.Now().Add(patience), func() string {
		got := told()
		if len(got) != 2 || got[0] != want || !strings.HasPrefix(got[1], "Warning UnknownDestination second ") {
			return "events are " + strings.Join(got, "\n")
		}
		return ""
	})
}
