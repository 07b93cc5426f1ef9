// SPDX-License-Identifier: Apache-2.0

package ratelimits_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/api/policy/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/ratelimits"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/validate"
	"github.com/isthmesh/isthmesh/test/apiserver"
)

var server *apiserver.Server

func TestMain(m *testing.M) { apiserver.Main(m, &server) }

func install(t *testing.T) dynamic.ResourceInterface {
	t.Helper()
	if _, err := envtest.InstallCRDs(server.Config, envtest.CRDInstallOptions{Paths: []string{"../../config/crd/policy"}, MaxTime: apiserver.Patience}); err != nil {
		t.Fatal(err)
	}
	client, err := dynamic.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	return client.Resource(v1alpha1.GroupVersion.WithResource("ratelimitpolicies")).Namespace("default")
}

func policyOf(t *testing.T, name, spec string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	text := "apiVersion: policy.isthmesh.dev/v1alpha1\nkind: RateLimitPolicy\nmetadata: {name: " + name + ", namespace: default}\nspec: {" + spec + "}\n"
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

const rules = `rules: [{name: all, limit: {requests: 1, per: Hour}}]`

// TestDefinition: what the API server takes, fills in, and says to what it refuses. Whoever
// asks without a server, as "isthmesh validate" does, is told no less.
func TestDefinition(t *testing.T) {
	objects := install(t)
	for name, test := range map[string]struct{ spec, err string }{
		"Smallest": {rules, ""},
		"Whole": {`selector: {matchLabels: {app: a}}, scope: Mesh, mode: Shadow, service: {host: a.b.svc.cluster.local, port: 8081, domain: d, failureMode: Deny, timeout: 50ms},
			response: {status: 503, headers: [{name: x-a, value: b}], rateLimitHeaders: DraftVersion03},
			rules: [{name: a, from: [{source: {principals: [a], notNamespaces: [b]}}], to: [{operation: {paths: [/a], notMethods: [GET]}}], when: [{key: "request.headers[x]", values: [c], notValues: [d]}],
			limit: {requests: 5, per: Day}, keys: [source.principal, remote.ip, request.path, request.method, request.host, "request.headers[a]", "request.auth.claims[a][b]"]}]`, ""},
		"NoRules":         {`selector: {matchLabels: {app: a}}`, "spec.rules: Required value"},
		"EmptyRules":      {`rules: []`, "spec.rules in body should have at least 1 items"},
		"NoLimit":         {`rules: [{name: a}]`, "spec.rules[0].limit: Required value"},
		"NoRequests":      {`rules: [{name: a, limit: {requests: 0, per: Hour}}]`, "should be greater than or equal to 1"},
		"OtherUnit":       {`rules: [{name: a, limit: {requests: 1, per: Week}}]`, `"Second", "Minute", "Hour", "Day"`},
		"RuleTwice":       {`rules: [{name: a, limit: {requests: 1, per: Day}}, {name: a, limit: {requests: 1, per: Day}}]`, "Duplicate value"},
		"OtherKey":        {`rules: [{name: a, limit: {requests: 1, per: Day}, keys: [request.body]}]`, "spec.rules[0].keys[0]"},
		"SelectorAndRefs": {rules + `, selector: {matchLabels: {a: b}}, targetRefs: [{kind: Service, name: a}]`, "selector and targetRefs exclude each other"},
		"EmptySelector":   {rules + `, selector: {matchLabels: {}}`, "should have at least 1 properties"},
		"OtherTarget":     {rules + `, targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: a}]`, "a target is a Gateway"},
		"MeshAlone":       {rules + `, scope: Mesh`, "set scope Mesh together with service"},
		"ServiceAlone":    {rules + `, service: {host: a, port: 1}`, "set scope Mesh together with service"},
		"CountersOfMesh":  {rules + `, scope: Mesh, service: {host: a, port: 1}, maxCounters: 5`, "maxCounters is for scope Pod"},
		"BurstOfMesh":     {`rules: [{name: all, limit: {requests: 1, per: Hour, burst: 3}}], scope: Mesh, service: {host: a, port: 1}`, "a burst is for scope Pod"},
		"LongTimeout":     {rules + `, scope: Mesh, service: {host: a, port: 1, timeout: 1m}`, "timeout must be between 1ms and 10s"},
		"StatusOfSuccess": {rules + `, response: {status: 200}`, "Unsupported value: 200"},
		"HeaderOfNoName":  {rules + `, response: {headers: [{name: "a b", value: c}]}`, "spec.response.headers[0].name"},
		"UnknownField":    {rules + `, rulez: []`, `unknown field "spec.rulez"`},
		"TextForNumber":   {`rules: [{name: a, limit: {requests: many, per: Hour}}]`, "spec.rules[0].limit.requests"},
		"NumberForText":   {rules + `, selector: {matchLabels: {app: 7}}`, "spec.selector.matchLabels"},
		"NoDuration":      {rules + `, scope: Mesh, service: {host: a, port: 1, timeout: soon}`, "spec.service.timeout"},
		"KeyTwice":        {`rules: [{name: a, limit: {requests: 1, per: Day}, keys: [remote.ip, remote.ip]}]`, "Duplicate value"},
		"TooManyRequests": {`rules: [{name: a, limit: {requests: 1000000001, per: Day}}]`, "should be less than or equal to 1000000000"},
		"OtherMode":       {rules + `, mode: Never`, `"Enforce", "Shadow"`},
	} {
		t.Run(name, func(t *testing.T) {
			if v := validate.Unstructured(policyOf(t, "p", test.spec), model.Settings{RootNamespace: "istio-system", DomainSuffix: "cluster.local"}); (len(v.Refused) > 0) != (test.err != "") {
				t.Errorf("without a server it is refused for %q", v.Refused)
			}
			made, err := objects.Create(t.Context(), policyOf(t, "p", test.spec), metav1.CreateOptions{FieldValidation: "Strict"})
			switch {
			case test.err == "" && err == nil:
				if name == "Smallest" {
					want := map[string]any{"scope": "Pod", "mode": "Enforce", "rules": []any{map[string]any{"name": "all", "limit": map[string]any{"requests": int64(1), "per": "Hour"}}}}
					if diff := cmp.Diff(want, made.Object["spec"]); diff != "" {
						t.Errorf("(-want +got):\n%s", diff)
					}
				}
				if err := objects.Delete(t.Context(), "p", metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
			case test.err == "" || err == nil || !strings.Contains(err.Error(), test.err):
				t.Errorf("%v, want %q", err, test.err)
			}
		})
	}
}

// TestConditions of policies in a mesh.
func TestConditions(t *testing.T) {
	about := func(reason, message string) model.Problem {
		return model.Problem{Kind: "RateLimitPolicy", Namespace: "shop", Name: "p", Field: "spec.x", Reason: reason, Message: message}
	}
	limit := func(selector model.Labels, refs ...model.TargetRef) *model.RateLimit {
		return &model.RateLimit{Origin: model.Origin{Kind: "RateLimitPolicy", Namespace: "shop", Name: "p"}, Target: model.Target{Selector: selector, Refs: refs}}
	}
	mesh := &model.Mesh{Settings: &model.Settings{RootNamespace: "istio-system", DomainSuffix: "cluster.local"}}
	for i := range 5 {
		mesh.Workloads = append(mesh.Workloads, &model.Workload{
			Namespace: "shop", Name: fmt.Sprint("web-", i), Meshed: true, Labels: map[string]string{"app": "web"},
			Inbound: []model.InboundPort{{Port: 8080, Service: "web.shop.svc.cluster.local"}},
		})
	}
	mesh.Workloads = append(mesh.Workloads, &model.Workload{Namespace: "shop", Name: "bare", Labels: map[string]string{"app": "bare"}},
		&model.Workload{Namespace: "shop", Name: "front-1", Meshed: true, Labels: map[string]string{"gateway.networking.k8s.io/gateway-name": "front"}})
	gateway := model.TargetRef{Group: "gateway.networking.k8s.io", Kind: "Gateway", Name: "front"}
	for name, test := range map[string]struct {
		limit *model.RateLimit
		found []model.Problem
		want  []string
	}{
		"Fine":      {limit("app=web"), nil, []string{"Accepted True Accepted ", "Programmed True Programmed it is in force at shop/web-0, shop/web-1, shop/web-2 and others"}},
		"Gateway":   {limit("", gateway), nil, []string{"Accepted True Accepted ", "Programmed True Programmed it is in force at shop/front-1"}},
		"Service":   {limit("", model.TargetRef{Kind: "Service", Name: "web"}), nil, []string{"Accepted True Accepted ", "Programmed True Programmed it is in force at shop/web-0, shop/web-1, shop/web-2 and others"}},
		"Nobody":    {limit("app=bare"), nil, []string{"Accepted True Accepted ", "Programmed False NoWorkloads spec.selector: pod shop/bare has no proxy, and no other pod is selected, so nothing is limited; have the proxy injected, or correct what is selected"}},
		"Labels":    {limit("app=wbe"), nil, []string{"Accepted True Accepted ", `Programmed False NoWorkloads spec.selector: no pod of namespace "shop" has the labels "app=wbe", so nothing is limited; correct them, or wait for the pods`}},
		"NoTarget":  {limit("", model.TargetRef{Kind: "Service", Name: "wbe"}), nil, []string{"Accepted True Accepted ", "Programmed False NoWorkloads spec.targetRefs: no pod with a proxy serves what is named, so nothing is limited; correct the names, or wait for the pods"}},
		"Invalid":   {nil, []model.Problem{about("Invalid", "no; mend it")}, []string{"Accepted False Invalid spec.x: no; mend it", "Programmed False NotAccepted no proxy has it, because it can't be used as it is"}},
		"NoService": {limit("", gateway), []model.Problem{about("NotFound", "there is none")}, []string{"Accepted False NotFound spec.x: there is none", "Programmed True Programmed it is in force at shop/front-1"}},
		"Rejected":  {limit("app=web"), []model.Problem{about(model.RejectedByProxy, "pod a rejects it")}, []string{"Accepted True Accepted ", "Programmed False RejectedByProxy spec.x: pod a rejects it"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, c := range ratelimits.Conditions(mesh, test.limit, test.found) {
				got = append(got, fmt.Sprint(c.Type, " ", c.Status, " ", c.Reason, " ", c.Message))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestController writes what is news, keeps the time of what stays, and leaves an
// object alone that is another one by now.
func TestController(t *testing.T) {
	objects := install(t)
	made, err := objects.Create(t.Context(), policyOf(t, "told", rules), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	client, err := dynamic.NewForConfig(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	mesh := &model.Mesh{Settings: &model.Settings{}}
	asked, changed := make(chan []ratelimits.Status), make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	c := &ratelimits.Controller{Client: client, Changed: changed, Pause: time.Millisecond, Poll: time.Hour, Statuses: func() []ratelimits.Status {
		select {
		case s := <-asked:
			return s
		case <-ctx.Done():
			return nil
		}
	}}
	go func() { ended <- c.Run(ctx) }()
	tell := func(generation int64, found ...model.Problem) *v1alpha1.RateLimitPolicy {
		o := &v1alpha1.RateLimitPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "told", UID: made.GetUID(), Generation: generation}}
		statuses := ratelimits.Statuses([]*v1alpha1.RateLimitPolicy{o}, mesh, found)
		// When it asks for the second time it has written what it was told the first time.
		for range 2 {
			select {
			case asked <- statuses:
			case <-time.After(time.Minute):
				t.Fatal("it doesn't ask")
			}
			changed <- struct{}{}
		}
		u, err := objects.Get(t.Context(), "told", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		out := &v1alpha1.RateLimitPolicy{}
		text, _ := u.MarshalJSON()
		if err := yaml.Unmarshal(text, out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	problem := model.Problem{Kind: "RateLimitPolicy", Namespace: "default", Name: "told", Field: "spec", Reason: "Invalid", Message: "mend it"}
	first := tell(made.GetGeneration(), problem)
	if s := first.Status; len(s.Conditions) != 2 || s.Conditions[0].Message != "spec: mend it" || s.ObservedGeneration != made.GetGeneration() || s.Conditions[0].LastTransitionTime.IsZero() {
		t.Errorf("%+v", s)
	}
	if again := tell(made.GetGeneration(), problem); again.ResourceVersion != first.ResourceVersion {
		t.Error("what is told already is written again")
	}
	if s := tell(made.GetGeneration()).Status; s.Conditions[0].Status != metav1.ConditionTrue {
		t.Errorf("%+v", s)
	}
	before := tell(made.GetGeneration())
	if after := tell(made.GetGeneration()+1, problem); after.ResourceVersion != before.ResourceVersion {
		t.Error("another generation was told")
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
