// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/isthmesh/isthmesh/controlplane/agent/bootstrap"
	"github.com/isthmesh/isthmesh/controlplane/agent/redirect"
	"github.com/isthmesh/isthmesh/controlplane/authn"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/xds"
	"github.com/isthmesh/isthmesh/test/envoybin"
)

// patience is how long anything real may take on a busy machine: a dozen Envoys may
// start together, and a slow minute may have begun.
const patience = 2 * time.Minute

// Proxy is a running Envoy.
type Proxy struct {
	t      testing.TB
	server *xds.Server
	admin  *http.Client
	log    string
	// forgiven is what was refused before.
	forgiven time.Time
}

// Options of an Envoy.
type Options struct {
	// Type of the node: "sidecar" or "router".
	Type string
	// Labels of the pod, as it tells them.
	Labels map[string]string
	// Identity that it authenticates to the control plane with.
	Identity string
	// Leaf is its certificate; a gateway has none.
	Leaf *Leaf
	// Redirect the pod's traffic to it.
	Redirect bool
	// Drain old listeners as the agent has it: for so long, ending connections from
	// the start; 0 for a second in which they end one by one.
	Drain time.Duration
	// DNS server that it asks; the machine's when it is none.
	DNS netip.AddrPort
	// AgentStats keeps and groups only those statistics that the agent's bootstrap does.
	AgentStats bool
	// Checks registers the health discovery service, which Envoy then asks what to
	// check; nil for none.
	Checks func(grpc.ServiceRegistrar)
}

// Envoy starts one in the pod. It serves when its snapshot has been pushed.
func (p *Pod) Envoy(o Options) *Proxy {
	p.t.Helper()
	if o.Redirect {
		var err error
		p.ns.do(func() { err = redirect.Apply(redirect.Build(redirect.Defaults())) })
		if err != nil {
			p.t.Fatal(err)
		}
	}
	id, err := spiffeid.FromString(o.Identity)
	if err != nil {
		p.t.Fatal(err)
	}
	server, err := xds.New(xds.Options{Authenticator: caller{id}})
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.t.Cleanup(cancel)
	go func() { _ = server.Run(ctx) }()
	discovery := grpc.NewServer(xds.ServerOptions()...)
	server.Register(discovery)
	if o.Checks != nil {
		o.Checks(discovery)
	}
	p.serve(discovery, "ads")
	if o.Leaf != nil {
		p.secrets(*o.Leaf)
	}
	e := &Proxy{t: p.t, server: server, log: filepath.Join(p.dir, "envoy.log")}
	e.admin = &http.Client{Timeout: patience, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(p.dir, "admin"))
		},
	}}
	p.start(o, e)
	return e
}

type caller struct{ id spiffeid.ID }

func (c caller) Authenticate(context.Context) (*authn.Caller, error) {
	parts := strings.Split(c.id.Path(), "/")
	return &authn.Caller{Identity: c.id, Namespace: parts[2], ServiceAccount: parts[4]}, nil
}

func (p *Pod) serve(g *grpc.Server, socket string) {
	p.t.Helper()
	path := filepath.Join(p.dir, socket)
	l, err := new(net.ListenConfig).Listen(p.t.Context(), "unix", path)
	if err == nil {
		err = os.Chmod(path, 0o777)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	go func() { _ = g.Serve(l) }()
	p.t.Cleanup(g.Stop)
}

func (p *Pod) secrets(leaf Leaf) {
	p.t.Helper()
	cache := cachev3.NewLinearCache(resourcev3.SecretType)
	for _, s := range leaf.secrets() {
		if err := cache.UpdateResource(s.GetName(), types.Resource(s)); err != nil {
			p.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.t.Cleanup(cancel)
	g := grpc.NewServer()
	secretv3.RegisterSecretDiscoveryServiceServer(g, serverv3.NewServer(ctx, cache, nil))
	p.serve(g, "sds")
}

func (p *Pod) start(o Options, e *Proxy) {
	p.t.Helper()
	config := filepath.Join(p.dir, "envoy.json")
	if err := os.WriteFile(config, p.bootstrap(o), 0o644); err != nil { //nolint:gosec // Envoy runs as another user
		p.t.Fatal(err)
	}
	log, err := os.Create(e.log)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = log.Close() })
	cmd := exec.CommandContext(p.t.Context(), envoybin.Path(p.t), "-c", config, "--disable-hot-restart", "--concurrency", "2",
		"--log-level", "warning", "--file-flush-interval-msec", "20")
	cmd.Args = append(cmd.Args, draining(o.Drain)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		// As the agent runs it, so that its own traffic isn't redirected.
		Credential: &syscall.Credential{Uid: redirect.ProxyID, Gid: redirect.ProxyID},
		Pdeathsig:  syscall.SIGKILL,
	}
	p.ns.do(func() { err = cmd.Start() })
	if err != nil {
		p.t.Fatalf("start Envoy in pod %s: %v", p.Name, err)
	}
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if p.t.Failed() {
			b, _ := os.ReadFile(e.log)
			p.t.Logf("Envoy of pod %s:\n%s", p.Name, b[max(0, len(b)-6000):])
		}
	})
}

func draining(d time.Duration) []string {
	if d == 0 {
		return []string{"--drain-time-s", "1"}
	}
	return []string{"--drain-time-s", strconv.Itoa(int(d.Seconds())), "--drain-strategy", "immediate"}
}

// bootstrap has what translated resources refer to, and nothing else.
func (p *Pod) bootstrap(o Options) []byte {
	type object = map[string]any
	pipe := func(name string) object { return object{"pipe": object{"path": filepath.Join(p.dir, name)}} }
	local := func(name, socket string) object {
		return object{
			"name": name, "type": "STATIC", "connect_timeout": "5s",
			"typed_extension_protocol_options": object{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": object{
				"@type":                "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
				"explicit_http_config": object{"http2_protocol_options": object{}},
			}},
			"load_assignment": object{"cluster_name": name, "endpoints": []object{{"lb_endpoints": []object{{"endpoint": object{"address": pipe(socket)}}}}}},
		}
	}
	ads := object{"ads": object{}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
	labels := object{}
	for k, v := range o.Labels {
		labels[k] = v
	}
	config := object{
		"node": object{
			"id":       fmt.Sprintf("%s~%s~%s.%s~%s.svc.cluster.local", o.Type, p.Address, p.Name, p.Namespace, p.Namespace),
			"cluster":  p.Name + "." + p.Namespace,
			"metadata": object{"NAME": p.Name, "NAMESPACE": p.Namespace, "INSTANCE_IPS": p.Address.String(), "LABELS": labels},
		},
		"admin": object{"address": pipe("admin")},
		"dynamic_resources": object{
			"ads_config": object{
				"api_type": "DELTA_GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": true,
				"grpc_services": []object{{"envoy_grpc": object{"cluster_name": "xds-grpc"}}},
			},
			"cds_config": ads, "lds_config": ads,
		},
		"bootstrap_extensions": []object{{
			"name":         "envoy.bootstrap.internal_listener",
			"typed_config": object{"@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener"},
		}},
		// As the agent's bootstrap has it.
		"layered_runtime":  object{"layers": []object{{"name": "static", "static_layer": object{"re2.max_program_size.error_level": 32768}}}},
		"static_resources": object{"clusters": []object{local("xds-grpc", "ads"), local("sds-grpc", "sds")}},
	}
	if o.AgentStats {
		config["stats_config"], config["stats_eviction_interval"] = p.agentStats()
	}
	if o.Checks != nil {
		config["hds_config"] = object{
			"api_type": "GRPC", "transport_api_version": "V3",
			"grpc_services": []object{{"envoy_grpc": object{"cluster_name": "xds-grpc"}}},
		}
	}
	if o.DNS.IsValid() {
		config["typed_dns_resolver_config"] = object{"name": "envoy.network.dns_resolver.cares", "typed_config": object{
			"@type":     "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
			"resolvers": []object{{"socket_address": object{"address": o.DNS.Addr().String(), "port_value": o.DNS.Port()}}},
		}}
	}
	out, err := json.Marshal(config)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// agentStats are the parts of the agent's bootstrap that say what is counted.
func (p *Pod) agentStats() (config, eviction json.RawMessage) {
	p.t.Helper()
	id, err := spiffeid.FromString("spiffe://here.example/ns/istio-system/sa/istiod")
	if err != nil {
		p.t.Fatal(err)
	}
	b, err := bootstrap.Build(bootstrap.Options{Discovery: "istiod:15012", DiscoveryID: id})
	if err != nil {
		p.t.Fatal(err)
	}
	part := func(m proto.Message) json.RawMessage {
		out, err := protojson.Marshal(m)
		if err != nil {
			p.t.Fatal(err)
		}
		return out
	}
	return part(b.GetStatsConfig()), part(b.GetStatsEvictionInterval())
}

// Push a snapshot and wait until Envoy has taken it, warmed and all. It fails
// the test when Envoy refuses a resource.
func (e *Proxy) Push(s xds.Snapshot) {
	e.t.Helper()
	if err := e.Try(s); err != nil {
		e.t.Fatal(err)
	}
}

// Show Envoy a snapshot and wait for nothing.
func (e *Proxy) Show(s xds.Snapshot) { e.server.Push(s) }

// Try is Push, but returns why Envoy refused.
func (e *Proxy) Try(s xds.Snapshot) error {
	e.server.Push(s)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	var why string
	for end := time.Now().Add(patience); time.Now().Before(end); <-ticker.C {
		missing, err := e.settled()
		if err != nil {
			return err
		}
		if why = missing; why == "" {
			return nil
		}
	}
	b, _ := os.ReadFile(e.log)
	return fmt.Errorf("Envoy is not up to date after %v: %s\n%s", patience, why, b[max(0, len(b)-3000):])
}

// Forgive what Envoy has refused so far: Push and Try tell of what it refuses after.
func (e *Proxy) Forgive() { e.forgiven = time.Now() }

// Rejections are what Envoy refuses now.
func (e *Proxy) Rejections() []model.Rejection { return e.server.Rejections() }

// Settled is true when a pod's Envoy has answered all that it was sent.
func (e *Proxy) Settled(namespace, name string) (done, connected bool) {
	return e.server.Settled(namespace, name)
}

// settled says what is still missing; nothing when all is in place.
func (e *Proxy) settled() (string, error) {
	proxies := e.server.Proxies()
	if len(proxies) == 0 {
		return "it has not connected", nil
	}
	for _, t := range proxies[len(proxies)-1].Types {
		if t.Nack != nil && t.Nack.Time.After(e.forgiven) {
			return "", fmt.Errorf("Envoy refused %v: %s", t.Nack.Resources, t.Nack.Message)
		}
		if t.State == xds.Stale {
			return "it has not taken " + t.TypeURL, nil
		}
		if t.State == xds.NotSent && (strings.HasSuffix(t.TypeURL, ".Listener") || strings.HasSuffix(t.TypeURL, ".Cluster")) {
			return "it has not asked for " + t.TypeURL, nil
		}
	}
	if state := e.Get("/server_info"); !strings.Contains(state, `"state": "LIVE"`) {
		return "it is not live", nil
	}
	for _, stat := range []string{"cluster_manager.warming_clusters", "listener_manager.total_listeners_warming"} {
		if n := e.Stat(stat); n != 0 {
			return fmt.Sprintf("%s is %d", stat, n), nil
		}
	}
	return "", nil
}

// Get a page of Envoy's administration.
func (e *Proxy) Get(path string) string {
	r, err := http.NewRequestWithContext(e.t.Context(), http.MethodGet, "http://envoy"+path, nil)
	if err != nil {
		return ""
	}
	answer, err := e.admin.Do(r)
	if err != nil {
		return ""
	}
	defer func() { _ = answer.Body.Close() }()
	b, _ := io.ReadAll(answer.Body)
	return string(b)
}

// Stat is one of Envoy's counters or gauges; 0 while it has none of the name.
func (e *Proxy) Stat(name string) int {
	for line := range bytes.Lines([]byte(e.Get("/stats?filter=" + strings.NewReplacer(".", "\\.", "|", "\\|").Replace(name)))) {
		k, v, _ := strings.Cut(strings.TrimSpace(string(line)), ": ")
		if k == name {
			n, _ := strconv.Atoi(v)
			return n
		}
	}
	return 0
}
