// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// countedMesh has two workloads and a gateway in shop, one workload in bank, and a service that
// counts for them all.
func countedMesh() *model.Mesh {
	pod := func(namespace, name string, labels map[string]string) *model.Workload {
		return &model.Workload{Namespace: namespace, Name: name, Labels: labels, Meshed: true}
	}
	return &model.Mesh{
		Settings: &model.Settings{RootNamespace: "istio-system", DomainSuffix: "cluster.local"},
		Services: []model.ServiceState{
			{Service: &model.Service{Hostname: "count.platform.svc.cluster.local", Namespace: "platform", Name: "count", Ports: []model.Port{{Number: 8081, Protocol: model.GRPC}, {Number: 8080, Protocol: model.HTTP}, {Number: 8082}}}, Endpoints: []*model.EndpointSet{{}, {}, {}}},
			{Service: &model.Service{Hostname: "web.shop.svc.cluster.local", Namespace: "shop", Name: "web"}},
		},
		Workloads: []*model.Workload{
			pod("bank", "c", nil), pod("shop", "a", map[string]string{"app": "a"}), pod("shop", "b", map[string]string{"app": "b"}),
			pod("shop", "front", map[string]string{"gateway.networking.k8s.io/gateway-name": "front"}),
		},
		RateLimits: []*model.RateLimit{{
			Origin: model.Origin{Kind: "RateLimitPolicy", Namespace: "istio-system", Name: "l"},
			Rules:  []model.RateRule{{Name: "all", Requests: 1, Unit: model.PerHour}},
			Service: &model.RateService{
				Host: "count.platform.svc.cluster.local", Port: 8081, Domain: "d", TimeoutMillis: 100,
			},
		}},
	}
}

func hides(namespace, name string, selector model.Labels, hosts ...model.ListenerHost) *model.Scope {
	return &model.Scope{Origin: model.Origin{Kind: "Sidecar", Namespace: namespace, Name: name}, Selector: selector, Egress: []model.Egress{{Hosts: hosts}}}
}

// TestLimitFaults: what rate limits lean on and is not so is told, as soon as it isn't so and as
// long as that lasts, whether any proxy is connected or not.
func TestLimitFaults(t *testing.T) {
	own := model.ListenerHost{Namespace: ".", Host: "*"}
	only := func(namespaces ...string) func(*model.Mesh) {
		return func(m *model.Mesh) {
			svc := *m.Services[0].Service
			svc.Visible = model.Visibility{Limited: true, Namespaces: namespaces}
			m.Services = []model.ServiceState{{Service: &svc, Endpoints: m.Services[0].Endpoints}, m.Services[1]}
		}
	}
	limit := func(change func(*model.RateLimit)) func(*model.Mesh) {
		return func(m *model.Mesh) {
			l := *m.RateLimits[0]
			service := *l.Service
			l.Service = &service
			change(&l)
			m.RateLimits = []*model.RateLimit{&l}
		}
	}
	targets := func(refs ...model.TargetRef) func(*model.Mesh) {
		return limit(func(l *model.RateLimit) { l.Namespace, l.Target.Refs = "shop", refs })
	}
	gateway := func(name string) model.TargetRef {
		return model.TargetRef{Group: "gateway.networking.k8s.io", Kind: "Gateway", Name: name}
	}
	for name, c := range map[string]struct {
		change func(*model.Mesh)
		want   []string
	}{
		"NoPort": {limit(func(l *model.RateLimit) { l.Service.Port = 9 }), []string{
			`spec.service.port: PortNotFound: service "count.platform.svc.cluster.local" has no port 9, so requests pass uncounted (failureMode); correct it, it has 8081, 8080, 8082`,
		}},
		"NoPortDeny": {limit(func(l *model.RateLimit) { l.Service.Port, l.Service.Deny = 9, true }), []string{
			`spec.service.port: PortNotFound: service "count.platform.svc.cluster.local" has no port 9, so requests that rules match are refused (failureMode); correct it, it has 8081, 8080, 8082`,
		}},
		"HTTP": {limit(func(l *model.RateLimit) { l.Service.Port = 8080 }), []string{
			`spec.service.port: WrongProtocol: port 8080 of service "count.platform.svc.cluster.local" isn't declared to speak gRPC, which counting services do, so requests pass uncounted (failureMode); name the port grpc there, or set its appProtocol to grpc`,
		}},
		"NotDeclared": {limit(func(l *model.RateLimit) { l.Service.Port = 8082 }), []string{
			`spec.service.port: WrongProtocol: port 8082 of service "count.platform.svc.cluster.local" isn't declared to speak gRPC, which counting services do, so requests pass uncounted (failureMode); name the port grpc there, or set its appProtocol to grpc`,
		}},
		"NoService":      {limit(func(l *model.RateLimit) { l.Service.Host = "gone.platform.svc.cluster.local" }), nil}, // ingest tells
		"NotExported":    {only("istio-system", "shop"), []string{`spec.service.host: NotVisible: service "count.platform.svc.cluster.local" is not exported to namespace "bank", so requests pass uncounted at bank/c (failureMode); add the namespace to its exportTo`}},
		"ExportedToNone": {only("platform"), []string{`spec.service.host: NotVisible: service "count.platform.svc.cluster.local" is not exported to namespace "bank" (and 1 more), so requests pass uncounted at bank/c (failureMode); add the namespace to its exportTo`}},
		"ExportedToThem": {only("bank", "shop"), nil},
		"Sidecar":        {func(m *model.Mesh) { m.Scopes = []*model.Scope{hides("shop", "narrow", "app=b", own)} }, []string{`spec.service.host: NotVisible: Sidecar shop/narrow hides service "count.platform.svc.cluster.local", so requests pass uncounted at shop/b (failureMode); add "platform/count.platform.svc.cluster.local" to its egress hosts`}},
		"SidecarOfAll":   {func(m *model.Mesh) { m.Scopes = []*model.Scope{hides("istio-system", "all", "", own)} }, []string{`spec.service.host: NotVisible: Sidecar istio-system/all hides service "count.platform.svc.cluster.local", so requests pass uncounted at bank/c (failureMode); add "platform/count.platform.svc.cluster.local" to its egress hosts`}},
		"Sidecars": {func(m *model.Mesh) {
			m.Scopes = []*model.Scope{hides("bank", "one", "", own), hides("shop", "two", "", own)}
		}, []string{`spec.service.host: NotVisible: Sidecar bank/one (and 1 more) hides service "count.platform.svc.cluster.local", so requests pass uncounted at bank/c (failureMode); add "platform/count.platform.svc.cluster.local" to its egress hosts`}},
		"SidecarShows": {func(m *model.Mesh) {
			m.Scopes = []*model.Scope{hides("shop", "narrow", "", own, model.ListenerHost{Namespace: "platform", Host: "*"})}
		}, nil},
		"SidecarOfOthers": {func(m *model.Mesh) { m.Scopes = []*model.Scope{hides("shop", "narrow", "app=none", own)} }, nil},
		"SidecarNotOfGateways": {func(m *model.Mesh) {
			m.Scopes = []*model.Scope{hides("shop", "narrow", "", own)}
			targets(gateway("front"))(m)
		}, nil},
		"GatewayUnexported": {func(m *model.Mesh) { only("bank")(m); targets(gateway("front"))(m) }, []string{
			`spec.service.host: NotVisible: service "count.platform.svc.cluster.local" is not exported to namespace "shop", so requests pass uncounted at shop/front (failureMode); add the namespace to its exportTo`,
		}},
		"Targets": {targets(gateway("front"), model.TargetRef{Kind: "Service", Name: "web"}), nil},
		"NoTargets": {targets(gateway("back"), model.TargetRef{Kind: "Service", Name: "wbe"}), []string{
			`spec.targetRefs[0].name: TargetNotFound: namespace "shop" has no Gateway "back" that is of the mesh, so nothing is limited by this target; correct the name, or create it`,
			`spec.targetRefs[1].name: TargetNotFound: namespace "shop" has no Service "wbe" that is of the mesh, so nothing is limited by this target; correct the name, or create it`,
		}},
		"GatewayOfNoPods": {func(m *model.Mesh) {
			targets(gateway("back"))(m)
			m.Gateways = []*model.Gateway{{Origin: model.Origin{Kind: "Gateway", Namespace: "shop", Name: "back"}, API: true}}
		}, nil},
		"NobodyToLimit": {func(m *model.Mesh) { m.Workloads = nil; only("platform")(m) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			told := func(s *snapshot.Snapshot) []string {
				var out []string
				for _, p := range s.Problems() {
					if p.Kind == "RateLimitPolicy" {
						out = append(out, p.Field+": "+p.Reason+": "+p.Message)
					}
				}
				return out
			}
			before := countedMesh()
			first := snapshot.Build(before, nil)
			if got := told(first); got != nil {
				t.Errorf("before anything is wrong, told is %q", got)
			}
			after := *before
			c.change(&after)
			second := snapshot.Build(&after, first)
			if d := cmp.Diff(c.want, told(second)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			same := after
			if d := cmp.Diff(c.want, told(snapshot.Build(&same, second))); d != "" {
				t.Errorf("and again (-want +got):\n%s", d)
			}
			if got := told(snapshot.Build(before, second)); got != nil {
				t.Errorf("when it is mended, told is %q", got)
			}
		})
	}
}
