// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	logsv1 "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// providers of access logs; the file's directory comes in.
const providers = `
extensionProviders:
- {name: calls, envoyHttpAls: {service: logs.default.svc.cluster.local, port: 8082, logName: calls, additionalRequestHeadersToLog: [x-who], additionalResponseHeadersToLog: [x-envoy-upstream-service-time]}}
- {name: streams, envoyTcpAls: {service: default/logs.default.svc.cluster.local, port: 8082}}
- {name: otel, envoyOtelAls: {service: logs.default.svc.cluster.local, port: 8082, logName: told, logFormat: {text: "%%REQ_WITHOUT_QUERY(:PATH)%% %%RESPONSE_CODE%%", labels: {to: "%%UPSTREAM_CLUSTER_RAW%%", who: "%%REQ(X-WHO)%%"}}}}
- {name: Lines, envoyFileAccessLog: {path: %[1]s/lines, logFormat: {text: "%%REQ(:PATH)%% %%RESPONSE_CODE%%"}}}
- {name: objects, envoyFileAccessLog: {path: %[1]s/objects, omitEmptyValues: true, logFormat: {labels: {path: "%%REQ(:PATH)%%", nobody: "%%REQ(X-NOBODY)%%", code: "%%RESPONSE_CODE%%"}}}}
- {name: nowhere, envoyHttpAls: {service: gone.default.svc.cluster.local, port: 8082}}
`

// telemetryOf is one of a namespace.
func telemetryOf(namespace, name, spec string) string {
	return fmt.Sprintf("---\napiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: %s, namespace: %s}\nspec: {%s}\n", name, namespace, spec)
}

// logyard is bookinfo with a server of logs.
type logyard struct {
	*bookinfo
	dir  string
	said chan string
}

func newLogyard(t *testing.T) *logyard {
	t.Helper()
	y := &logyard{bookinfo: newBookinfo(t), said: make(chan string, 1000)}
	server := grpc.NewServer()
	accesslogv3.RegisterAccessLogServiceServer(server, receiver{y: y})
	server.RegisterService(&otlp, y)
	l := y.limiter.Listen("0.0.0.0:8082")
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	var err error
	if y.dir, err = os.MkdirTemp("", "logs"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(y.dir) })
	if err := os.Chmod(y.dir, 0o777); err != nil { //nolint:gosec // Envoy runs as another user
		t.Fatal(err)
	}
	y.mesh = mesh(t, productpage+`
service default/logs vip=10.96.0.20 port=8082/GRPC
endpoint default/logs:8082 10.244.0.40:8082 plain
`)
	y.mesh.Workloads[0].Inbound[0].ServicePort, y.mesh.Workloads[1].Inbound[0].ServicePort = 8000, 80
	return y
}

// logs pushes what MeshConfig and Telemetries say, and returns what is wrong with it.
func (y *logyard) logs(config, telemetries string) []model.Problem {
	y.Helper()
	read, err := manifest.Read([]byte(gateway + telemetries))
	if err != nil {
		y.Fatal(err)
	}
	read.Settings = *y.mesh.Settings
	read.MeshConfig = fmt.Sprintf(providers, y.dir) + config
	c := ingest.Build(read.Input, nil).Mesh
	m := *y.mesh
	m.Settings, m.Telemetries, m.Gateways, m.Routings = c.Settings, c.Telemetries, c.Gateways, c.Routings
	y.previous = snapshot.Build(&m, y.previous)
	y.page.Push(y.previous)
	y.gateway.Push(y.previous)
	// Connections that were there before are logged as they were.
	for _, p := range []*rig.Proxy{y.page, y.gateway} {
		drained(y.T, p)
	}
	return append(c.Problems, y.previous.Problems()...)
}

// hears what is logged of one call through the gateway, whose path is word: all of
// want, in any order. What other calls left behind is passed over.
func (y *logyard) hears(word string, want ...string) {
	y.Helper()
	y.call(throughGateway, "/"+word+"?q=1", "x-who", "me")
	missing := map[string]int{}
	for _, w := range want {
		missing[w]++
	}
	deadline := time.After(eventually)
	for len(missing) > 0 {
		select {
		case got := <-y.said:
			if !strings.Contains(got, "/"+word) {
				continue
			}
			if missing[got]--; missing[got] < 0 {
				y.Errorf("%s: %q is heard and not expected", word, got)
			}
			if missing[got] <= 0 {
				delete(missing, got)
			}
		case <-deadline:
			y.Fatalf("%s: not heard are %v", word, missing)
		}
	}
}

// receiver takes what Envoy's own protocol of logs says.
type receiver struct {
	accesslogv3.UnimplementedAccessLogServiceServer
	y *logyard
}

func (c receiver) StreamAccessLogs(s accesslogv3.AccessLogService_StreamAccessLogsServer) error {
	from, name := "", ""
	for {
		m, err := s.Recv()
		if err != nil {
			return nil //nolint:nilerr // the proxy ends
		}
		if id := m.GetIdentifier(); id != nil {
			from, name = strings.Split(id.GetNode().GetId(), "~")[0], id.GetLogName()
		}
		for _, e := range m.GetHttpLogs().GetLogEntry() {
			c.y.said <- fmt.Sprintf("%s %s %s %d %s", from, name, e.GetRequest().GetPath(), e.GetResponse().GetResponseCode().GetValue(), e.GetRequest().GetRequestHeaders()["x-who"])
		}
		for range m.GetTcpLogs().GetLogEntry() {
			c.y.said <- from + " " + name
		}
	}
}

// otlp is the service that takes logs. Its request is LogsData by another name, and
// its answer may be empty.
var otlp = grpc.ServiceDesc{
	ServiceName: "opentelemetry.proto.collector.logs.v1.LogsService", HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Export", Handler: func(y any, _ context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		data := &logsv1.LogsData{}
		if err := read(data); err != nil {
			return nil, err
		}
		y.(*logyard).told(data)
		return &emptypb.Empty{}, nil
	}}},
}

// told is what comes by OTLP.
func (y *logyard) told(data *logsv1.LogsData) {
	for _, resource := range data.GetResourceLogs() {
		for _, scope := range resource.GetScopeLogs() {
			for _, record := range scope.GetLogRecords() {
				line := "otel " + record.GetBody().GetStringValue()
				for _, a := range record.GetAttributes() {
					line += " " + a.GetKey() + "=" + a.GetValue().GetStringValue()
				}
				y.said <- line
			}
		}
	}
}

// TestAccessLogs: MeshConfig's defaults, and what Telemetries of each scope change.
func TestAccessLogs(t *testing.T) {
	y := newLogyard(t)
	fine := func(problems []model.Problem) {
		t.Helper()
		for _, p := range problems {
			t.Errorf("%s %s/%s %s %s: %s", p.Kind, p.Namespace, p.Name, p.Field, p.Reason, p.Message)
		}
	}
	const byDefault = "defaultProviders: {accessLogging: [calls]}\n"
	call := func(from, word string) string { return from + " calls /" + word + "?q=1 200 me" }

	fine(y.logs(byDefault, ""))
	y.hears("default", call("router", "default"), call("sidecar", "default"))

	fine(y.logs(byDefault, telemetryOf("default", "none", "accessLogging: [{disabled: true}]")))
	y.hears("disabled", call("router", "disabled"))

	fine(y.logs(byDefault, telemetryOf("istio-system", "all", "accessLogging: [{providers: [{name: otel}]}]")))
	y.hears("root", "otel /root 200 to=outbound|8000||productpage.default.svc.cluster.local who=me", "otel /root 200 to=inbound|9080|| who=me")

	fine(y.logs("", telemetryOf("istio-system", "all", "accessLogging: [{providers: [{name: otel}], match: {mode: CLIENT}}]")+
		telemetryOf("default", "own", "selector: {matchLabels: {app: productpage}}, accessLogging: [{providers: [{name: calls}], match: {mode: SERVER}}]")))
	y.hears("sides", "otel /sides 200 to=outbound|8000||productpage.default.svc.cluster.local who=me", call("sidecar", "sides"))

	fine(y.logs("", telemetryOf("istio-system", "all", `accessLogging: [{providers: [{name: calls}], filter: {expression: "request.url_path.endsWith('kept') && response.code < 400"}}]`)))
	y.call(throughGateway, "/dropped?q=1", "x-who", "me")
	y.hears("kept", call("router", "kept"), call("sidecar", "kept"))

	fine(y.logs("", telemetryOf("default", "own", "accessLogging: [{providers: [{name: lines}, {name: OBJECTS}]}]")))
	y.call(throughGateway, "/file")
	until(t, "both files have the call", func() bool {
		lines, _ := os.ReadFile(filepath.Join(y.dir, "lines"))
		objects, _ := os.ReadFile(filepath.Join(y.dir, "objects"))
		return string(lines) == "/file 200\n" && string(objects) == `{"code":200,"path":"/file"}`+"\n"
	})

	// What can't be reached costs nothing but the log.
	fine(y.logs("", telemetryOf("default", "own", "accessLogging: [{providers: [{name: nowhere}]}]")))
	if r, _ := y.call(throughGateway, "/"); r.StatusCode != 200 {
		t.Error(r.Status)
	}
	if problems := y.logs("", telemetryOf("default", "own", "accessLogging: [{providers: [{name: missing}]}]")); len(problems) != 1 || problems[0].Field != "spec.accessLogging[0].providers[0].name" {
		t.Errorf("a provider that isn't there: %+v", problems)
	}
}

// TestLogsOfConnections: what is no HTTP is logged by the same providers.
func TestLogsOfConnections(t *testing.T) {
	y := newLogyard(t)
	y.mesh.Workloads[0].Inbound[0].Protocol = model.TCP
	if problems := y.logs("defaultProviders: {accessLogging: [streams]}\n", ""); len(problems) > 0 {
		t.Errorf("%+v", problems)
	}
	y.call(toPage, "/")
	select {
	case got := <-y.said:
		if got != "sidecar tcp_envoy_accesslog" {
			t.Error(got)
		}
	case <-time.After(eventually):
		t.Error("nothing is logged")
	}
}

// TestFilterExpressions: Envoy takes every expression that passes.
func TestFilterExpressions(t *testing.T) {
	y := newLogyard(t)
	for _, e := range []string{
		"response.code >= 400", "!(response.code == 200) || false", "connection.mtls", "has(request.headers.referer)",
		"request.headers['x-who'] in ['me', 'you',]", "request.path.startsWith('/a') ? true : 1 < -2", "size(request.method) > 2u",
		"request.method.size() == 3 && request.path.matches('^/[a-z]+$')", `matches(request.host, r"a\d") || request.host.contains("b\u00e9")`,
		"request.duration > duration('1.5s')", "request.time.getHours() % 2 == 0", "int(1.5e3) + 0x1F * 3 - 2 / 1 != 7", "null == null // so",
		"xds.route_name == 'x'", "type(1) == int && dyn(1) == 1 && b'ab'.size() == 2", "unknown.thing", "double(1) < .5",
	} {
		if problems := y.logs("", telemetryOf("istio-system", "all", fmt.Sprintf("accessLogging: [{providers: [{name: calls}], filter: {expression: %q}}]", e))); len(problems) > 0 {
			t.Errorf("%s: %+v", e, problems)
		}
	}
	if r, _ := y.call(throughGateway, "/"); r.StatusCode != 200 {
		t.Error(r.Status)
	}
}
