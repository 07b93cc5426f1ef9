// SPDX-License-Identifier: Apache-2.0

package generate

import "time"

// always set, by the full names of fields and oneofs: without them an object says nothing.
var always = map[string]bool{
	"istio.networking.v1alpha3.VirtualService.hosts":                  true,
	"istio.networking.v1alpha3.VirtualService.http":                   true,
	"istio.networking.v1alpha3.HTTPRoute.route":                       true,
	"istio.networking.v1alpha3.HTTPRouteDestination.destination":      true,
	"istio.networking.v1alpha3.RouteDestination.destination":          true,
	"istio.networking.v1alpha3.TCPRoute.route":                        true,
	"istio.networking.v1alpha3.TLSRoute.route":                        true,
	"istio.networking.v1alpha3.TLSRoute.match":                        true,
	"istio.networking.v1alpha3.TLSMatchAttributes.sni_hosts":          true,
	"istio.networking.v1alpha3.Destination.host":                      true,
	"istio.networking.v1alpha3.HTTPMirrorPolicy.destination":          true,
	"istio.networking.v1alpha3.StringMatch.match_type":                true,
	"istio.networking.v1alpha3.DestinationRule.host":                  true,
	"istio.networking.v1alpha3.DestinationRule.traffic_policy":        true,
	"istio.networking.v1alpha3.Subset.name":                           true,
	"istio.networking.v1alpha3.Subset.labels":                         true,
	"istio.networking.v1alpha3.Gateway.servers":                       true,
	"istio.networking.v1alpha3.Gateway.selector":                      true,
	"istio.networking.v1alpha3.Server.port":                           true,
	"istio.networking.v1alpha3.Server.hosts":                          true,
	"istio.networking.v1alpha3.Port.number":                           true,
	"istio.networking.v1alpha3.Port.name":                             true,
	"istio.networking.v1alpha3.Port.protocol":                         true,
	"istio.networking.v1alpha3.ServiceEntry.hosts":                    true,
	"istio.networking.v1alpha3.ServiceEntry.ports":                    true,
	"istio.networking.v1alpha3.ServicePort.number":                    true,
	"istio.networking.v1alpha3.ServicePort.name":                      true,
	"istio.networking.v1alpha3.ServicePort.protocol":                  true,
	"istio.networking.v1alpha3.WorkloadEntry.address":                 true,
	"istio.networking.v1alpha3.SidecarPort.number":                    true,
	"istio.networking.v1alpha3.SidecarPort.name":                      true,
	"istio.networking.v1alpha3.SidecarPort.protocol":                  true,
	"istio.networking.v1alpha3.IstioIngressListener.port":             true,
	"istio.networking.v1alpha3.IstioEgressListener.hosts":             true,
	"istio.networking.v1alpha3.IstioIngressListener.default_endpoint": true,
	"istio.security.v1beta1.Condition.key":                            true,
	"istio.security.v1beta1.JWTRule.issuer":                           true,
	"istio.security.v1beta1.JWTRule.jwks":                             true,
}

// never set: files, which aren't there, and what is fetched.
var never = map[string]bool{
	"server_certificate": true, "private_key": true, "ca_certificates": true, "client_certificate": true, "ca_crl": true,
	"tls_certificates": true, "jwks_uri": true, "jwksUri": true,
}

var usualDurations = []time.Duration{time.Millisecond, 25 * time.Millisecond, time.Second, 1500 * time.Millisecond, time.Minute, time.Hour}

// plain words, where a field's name says nothing.
var plain = []string{"a", "v1", "x-user", "reviews", "/foo", "80"}

// usual words of fields, by their names, with the message's or without.
var usual = []struct {
	names string
	words []string
}{
	{"VirtualService.hosts", []string{"reviews", "reviews.shop.svc.cluster.local", "ratings.shop.svc.cluster.local", "*.example.com", "a.example.com", "b.example.com", "c.example.org", "A.Example.com", "10.96.0.10", "*.shop.svc.cluster.local", "reviews.shop"}},
	{"Server.hosts", []string{"*.example.com", "a.example.com", "b.example.com", "*", "shop/*", "./*", "*/*", "bank/a.example.com"}},
	{"ServiceEntry.hosts", []string{"*.example.com", "a.example.com", "b.example.com", "c.example.org", "reviews", "reviews.shop", "db.shop.svc.cluster.local", "ratings.shop.svc.cluster.local", "A.example.com", "10.1.2.3", "*.com", "reviews-1.reviews"}},
	{"IstioEgressListener.hosts", []string{"*/*", "./*", "shop/*", "shop/reviews.shop.svc.cluster.local", "*/a.example.com", "bank/*", "~/*"}},
	{"Operation.hosts Operation.not_hosts", []string{"a.example.com", "*.example.com", "reviews*", "*"}},
	{"host", []string{"reviews", "ratings", "reviews.shop.svc.cluster.local", "ledger.bank.svc.cluster.local", "a.example.com", "*.example.com", "nobody.example.org"}},
	{"target_host", []string{"a.example.com", "10.1.2.3"}},
	{"sni_hosts", []string{"a.example.com", "*.example.com", "reviews.shop.svc.cluster.local"}},
	{"subset Subset.name", []string{"v1", "v2", "v3"}},
	{"Port.name ServicePort.name SidecarPort.name", []string{"http", "http-web", "https", "tls", "tcp-db", "grpc", "x"}},
	{"gateways", []string{"mesh", "front-0", "front-1", "shop/front-0"}},
	{"Gateway.selector", []string{"ingressgateway"}},
	{"Gateway.selector-key", []string{"istio"}},
	{"labels source_labels workload_labels match_labels", []string{"v1", "reviews"}},
	{"labels-key source_labels-key match_labels-key", []string{"app", "version"}},
	{"export_to", []string{".", "*", "shop", "bank"}},
	{"Tunnel.protocol TunnelSettings.protocol", []string{"CONNECT", "POST"}},
	{"protocol", []string{"HTTP", "HTTP", "HTTPS", "TLS", "TCP", "GRPC", "HTTP2", "MONGO"}},
	// An address that isn't the machine's can't be bound.
	{"bind", []string{"0.0.0.0", "127.0.0.1", "127.0.0.2", "::1"}},
	{"address", []string{"10.1.2.3", "240.0.0.7", "fd00::7", "127.0.0.1", "unix:///run/a.sock", "a.example.com"}},
	{"addresses", []string{"10.1.2.3", "10.1.0.0/16", "240.0.0.7", "fd00::7"}},
	{"destination_subnets ip_blocks not_ip_blocks remote_ip_blocks not_remote_ip_blocks", []string{"10.1.0.0/16", "10.1.2.3", "fd00::/8", "0.0.0.0/0"}},
	{"default_endpoint", []string{"127.0.0.1:8080", "0.0.0.0:8080", "unix:///run/a.sock", "[::1]:8080"}},
	{"uri path rewrite prefix exact", []string{"/", "/foo", "/foo/bar", "/foo/", "a"}},
	{"RegexRewrite.rewrite", []string{`/\1`, "/x", ""}},
	{"paths not_paths", []string{"/foo", "/foo*", "*/bar", "*", "/{*}/x", "/a/{**}"}},
	{"methods not_methods allow_methods method", []string{"GET", "POST", "*"}},
	{"Operation.ports Operation.not_ports", []string{"80", "9080", "443"}},
	{"ports-key", []string{"http", "tcp-db", "x"}},
	{"regex match", []string{"a+", ".*foo", "^/x/[0-9]+$", "(a|b)c?"}},
	{"authority", []string{"a.example.com", "b.example.com:8080"}},
	{"credential_name", []string{"front", "gone", "shop/front"}},
	{"credential_names", []string{"front", "back"}},
	{"cipher_suites", []string{"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "AES128-SHA"}},
	{"subject_alt_names allow_origin allow_origins", []string{"https://a.example.com", "*", "spiffe://cluster.local/ns/shop/sa/reviews"}},
	{"principals not_principals", []string{"cluster.local/ns/shop/sa/client", "*", "cluster.local/ns/shop/*", "*/sa/client"}},
	{"service_accounts not_service_accounts", []string{"client", "shop/client"}},
	{"request_principals not_request_principals", []string{"issuer/sub", "*", "issuer/*"}},
	{"namespaces not_namespaces namespace", []string{"shop", "bank", "s*"}},
	{"Condition.key", []string{"request.headers[x-user]", "source.ip", "source.namespace", "destination.port", "connection.sni", "request.auth.claims[group]"}},
	{"values not_values", []string{"a", "10.1.2.3", "80", "b*"}},
	{"locality", []string{"eu/eu-1", "us/us-1/a", "as"}},
	{"from to", []string{"eu/eu-1/*", "us", "us/us-1"}},
	{"to-key", []string{"eu/eu-1/*", "us/*"}},
	{"failover_priority", []string{"topology.kubernetes.io/region", "app", "version=v1"}},
	{"retry_on", []string{"5xx", "connect-failure,refused-stream", "503,gateway-error", "retriable-headers"}},
	{"network", []string{"n1", "n2"}},
	{"issuer", []string{"issuer", "https://issuer.example"}},
	{"jwks", []string{`{"keys":[{"kty":"oct","kid":"a","alg":"HS256","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U"}]}`}},
	{"PolicyTargetReference.group", []string{"gateway.networking.k8s.io"}},
	{"PolicyTargetReference.kind", []string{"Gateway"}},
	{"PolicyTargetReference.name", []string{"front"}},
	{"grpc_status", []string{"UNAVAILABLE", "INTERNAL"}},
	{"scheme", []string{"http", "https"}},
	{"derive_port", []string{"FROM_PROTOCOL_DEFAULT"}},
}

var usualNumbers = []struct {
	names   string
	numbers []uint32
}{
	{"number port target_port", []uint32{80, 80, 8080, 9080, 443, 8443, 3306}},
	{"weight", []uint32{0, 1, 10, 50, 100}},
	{"status http_status redirect_code", []uint32{200, 404, 503, 301, 302, 307}},
	{"ports", []uint32{80, 8080, 9080}},
	{"table_size minimum_ring_size", []uint32{101, 1021, 65537}},
}
