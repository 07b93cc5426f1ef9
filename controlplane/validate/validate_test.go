// SPDX-License-Identifier: Apache-2.0

package validate

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/webhook"
)

var settings = model.Settings{RootNamespace: "istio-system", TrustDomain: "cluster.local", DomainSuffix: "cluster.local"}

func TestObject(t *testing.T) {
	cases := map[string]struct {
		group, kind, object string
		refused, warned     string // a part of the text; "" wants none
	}{
		"Good":            {"security.istio.io", "PeerAuthentication", `{"metadata":{"name":"default","namespace":"shop"},"spec":{"mtls":{"mode":"STRICT"}}}`, "", ""},
		"PortsNoSelector": {"security.istio.io", "PeerAuthentication", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"portLevelMtls":{"8080":{"mode":"DISABLE"}}}}`, "portLevelMtls", ""},
		"BadMode":         {"security.istio.io", "PeerAuthentication", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"mtls":{"mode":"SOMETIMES"}}}`, `spec.mtls.mode: "SOMETIMES" is none of its values`, ""},
		"PortsClash":      {"networking.istio.io", "Gateway", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"selector":{"istio":"front"},"servers":[{"port":{"number":80,"name":"http","protocol":"HTTP"},"hosts":["*"]},{"port":{"number":80,"name":"tcp","protocol":"TCP"},"hosts":["*"]}]}}`, "", `spec.servers[1].port: port 80 speaks plain HTTP, as listener "http" of this gateway, which comes first, has it`},
		"ServerNames":     {"networking.istio.io", "Gateway", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"servers":[{"port":{"number":443,"name":"a","protocol":"HTTPS"},"hosts":["a.b"],"tls":{"mode":"SIMPLE","credentialName":"c"}},{"port":{"number":443,"name":"b","protocol":"HTTPS"},"hosts":["a.b"],"tls":{"mode":"SIMPLE","credentialName":"c"}}]}}`, "", `spec.servers[1].hosts: host "a.b" on this port is taken by listener "a" of this gateway`},
		"NotAnObject":     {"security.istio.io", "PeerAuthentication", `[]`, "can't be read", ""},
		"OtherKind":       {"install.istio.io", "IstioOperator", `{"metadata":{"name":"x","namespace":"shop"}}`, "", "IstioOperator.install.istio.io is stored, and has no effect"},
		"GeneratedName":   {"networking.istio.io", "DestinationRule", `{"metadata":{"generateName":"x-","namespace":"shop"},"spec":{"host":"reviews"}}`, "", ""},
		"Empty":           {"networking.istio.io", "VirtualService", `{"metadata":{"name":"x","namespace":"shop"}}`, "spec: it has no rule", ""},
		"OldVersion":      {"networking.istio.io", "VirtualService", `{"apiVersion":"networking.istio.io/v1alpha3","metadata":{"name":"x","namespace":"shop"},"spec":{"hosts":["a"],"http":[{"route":[{"destination":{"host":"a"}}]}]}}`, "", ""},
		"UnknownField":    {"networking.istio.io", "VirtualService", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"hosts":["a"],"http":[{"websocketUpgrade":true,"route":[{"destination":{"host":"a"}}]}]}}`, "spec.http[0].websocketUpgrade: there is no such field", ""},
		"ProviderLater":   {"security.istio.io", "AuthorizationPolicy", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"action":"CUSTOM","provider":{"name":"of-the-mesh-config"},"rules":[{}]}}`, "", ""},
		"DelegateLater":   {"networking.istio.io", "VirtualService", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"hosts":["a"],"http":[{"delegate":{"name":"later"}}]}}`, "", ""},
		"IngressLater":    {"networking.k8s.io", "Ingress", `{"metadata":{"name":"x","namespace":"shop","annotations":{"kubernetes.io/ingress.class":"istio"}},"spec":{"rules":[{"http":{"paths":[{"path":"/","pathType":"Prefix","backend":{"service":{"name":"a","port":{"number":80}}}}]}}]}}`, "", ""},
		"HTTPRouteLater":  {"gateway.networking.k8s.io", "HTTPRoute", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"parentRefs":[{"kind":"Service","group":"","name":"s","port":80}],"rules":[{"backendRefs":[{"name":"a","port":80}]}]}}`, "", ""},
		"GRPCRouteLater":  {"gateway.networking.k8s.io", "GRPCRoute", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"parentRefs":[{"kind":"Service","group":"","name":"s","port":80}],"rules":[{"backendRefs":[{"name":"a","port":80}]}]}}`, "", ""},
		"TLSPolicyLater":  {"gateway.networking.k8s.io", "BackendTLSPolicy", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"targetRefs":[{"group":"","kind":"Service","name":"s"}],"validation":{"hostname":"a.b","caCertificateRefs":[{"group":"","kind":"ConfigMap","name":"c"}]}}}`, "", ""},
		"LaterAndNever":   {"gateway.networking.k8s.io", "HTTPRoute", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"parentRefs":[{"kind":"Service","group":"","name":"s","port":80}],"rules":[{"backendRefs":[{"name":"a","port":80},{"kind":"Pod","name":"b","port":80}]}]}}`, "", "spec.rules[0].backendRefs[1]: Pod is not a kind that can be sent to"},
		"Distribute":      {"networking.istio.io", "DestinationRule", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"host":"a","trafficPolicy":{"loadBalancer":{"localityLbSetting":{"distribute":[{"from":"a/*","to":{"b/*":100}}],"failover":[{"from":"a","to":"b"}]}}}}}`, "distribute excludes failover and failoverPriority", ""},
		"NotHonoured":     {"networking.istio.io", "Gateway", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"servers":[{"port":{"number":80,"name":"http","protocol":"HTTP"},"hosts":["*"],"defaultEndpoint":"127.0.0.1:80"}]}}`, "", "spec.servers[0].defaultEndpoint"},
		"NoEffectYet":     {"extensions.istio.io", "TrafficExtension", `{"metadata":{"name":"x","namespace":"shop"},"spec":{}}`, "", "doesn't act on objects of kind TrafficExtension"},
		"WasmPlugin":      {"extensions.istio.io", "WasmPlugin", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"url":"oci://registry.example/a:v1"}}`, "", ""},
		"WasmScheme":      {"extensions.istio.io", "WasmPlugin", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"url":"ftp://registry.example/a"}}`, "spec.url: modules can't be fetched by", ""},
		"WasmChecksum":    {"extensions.istio.io", "WasmPlugin", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"url":"a","sha256":"abc"}}`, "spec.sha256", ""},
		"WasmKey":         {"extensions.istio.io", "WasmPlugin", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"url":"a","verificationKey":"k"}}`, "", "spec.verificationKey"},
		"WasmField":       {"extensions.istio.io", "WasmPlugin", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"url":"a","sha":"abc"}}`, "spec.sha: there is no such field", ""},
		"RateLimit":       {"policy.isthmesh.dev", "RateLimitPolicy", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"rules":[{"name":"a","limit":{"requests":1,"per":"Hour"}}]}}`, "", ""},
		"RateLimitBad":    {"policy.isthmesh.dev", "RateLimitPolicy", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"rules":[{"name":"a","keys":["request.body"],"limit":{"requests":1,"per":"Hour"}}]}}`, `spec.rules[0].keys[0]: "request.body" is no key`, ""},
		"RateLimitField":  {"policy.isthmesh.dev", "RateLimitPolicy", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"rulez":[]}}`, `spec.rulez: there is no such field in RateLimitPolicy; correct its name, or remove it`, ""},
		"RateLimitType":   {"policy.isthmesh.dev", "RateLimitPolicy", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"rules":[{"name":"a","limit":{"requests":"many","per":"Hour"}}]}}`, `spec.rules[0].limit.requests: "many" is no whole number; write one, without quotes`, ""},
		"RateLimitNone":   {"policy.isthmesh.dev", "RateLimitPolicy", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"rules":[{"name":"a","limit":{"per":"Hour"}}]}}`, `spec.rules[0].limit.requests: 0 is not possible; use 1 to 1000000000`, ""},
		"RateLimitMonth":  {"policy.isthmesh.dev", "RateLimitPolicy", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"rules":[{"name":"a","limit":{"requests":1,"per":"Month"}}]}}`, `spec.rules[0].limit.per: "Month" is no time; use Second, Minute, Hour or Day`, ""},
		"RateLimitTwice":  {"policy.isthmesh.dev", "RateLimitPolicy", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"rules":[{"name":"a","keys":["request.headers[x]","request.headers[X]"],"limit":{"requests":1,"per":"Hour"}}]}}`, `spec.rules[0].keys[1]: key "request.headers[X]" is there twice; keep one`, ""},
		"RateLimitTarget": {"policy.isthmesh.dev", "RateLimitPolicy", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"targetRefs":[{"kind":"Service","name":"later"}],"rules":[{"name":"a","limit":{"requests":1,"per":"Hour"}}]}}`, "", ""},
		"RateLimitLater":  {"policy.isthmesh.dev", "RateLimitPolicy", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"scope":"Mesh","service":{"host":"later.shop.svc.cluster.local","port":8081},"rules":[{"name":"a","limit":{"requests":1,"per":"Hour"}}]}}`, "", ""},
		"BadDuration":     {"networking.istio.io", "VirtualService", `{"metadata":{"name":"x","namespace":"shop"},"spec":{"hosts":["a"],"http":[{"timeout":"soon"}]}}`, `spec.http[0].timeout: "soon" is no duration`, ""},
		"Null":            {"networking.istio.io", "VirtualService", `null`, "can't be read", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			v := Object(c.group, c.kind, []byte(c.object), settings)
			check := func(what string, got []string, want string) {
				text := strings.Join(got, "\n")
				if (want == "") != (text == "") || !strings.Contains(text, want) {
					t.Errorf("%s: got %q, want %q", what, text, want)
				}
			}
			check("refused", v.Refused, c.refused)
			check("warned", v.Warnings, c.warned)
		})
	}
}

func TestHandler(t *testing.T) {
	review := func(object string) string {
		return `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","operation":"CREATE",` +
			`"kind":{"group":"security.istio.io","version":"v1","kind":"PeerAuthentication"},"namespace":"shop","name":"x","object":` + object + `}}`
	}
	cases := map[string]struct {
		contentType, body string
		code              int
		allowed           bool
	}{
		"Good":        {"application/json", review(`{"metadata":{"name":"x","namespace":"shop"},"spec":{"mtls":{"mode":"STRICT"}}}`), 200, true},
		"Refused":     {"application/json", review(`{"metadata":{"name":"x","namespace":"shop"},"spec":{"portLevelMtls":{"8080":{}}}}`), 200, false},
		"NotJSON":     {"text/plain", "x", 415, false},
		"Garbage":     {"application/json", "{", 400, false},
		"NoRequest":   {"application/json", `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, 400, false},
		"TooLarge":    {"application/json", strings.Repeat("x", webhook.MaxBytes+1), 413, false},
		"OldVersion":  {"application/json", strings.Replace(review(`{}`), "/v1\"", "/v1beta1\"", 1), 400, false},
		"EmptyObject": {"application/json", review(`{}`), 200, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/validate", strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.contentType)
			w := httptest.NewRecorder()
			NewHandler(settings).ServeHTTP(w, r)
			if w.Code != c.code {
				t.Fatalf("code %d, want %d: %s", w.Code, c.code, w.Body)
			}
			if w.Code != http.StatusOK {
				return
			}
			var answer admissionv1.AdmissionReview
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Fatal(err)
			}
			if answer.Response.UID != "1" || answer.Response.Allowed != c.allowed {
				t.Errorf("answer %+v, want allowed %v", answer.Response, c.allowed)
			}
		})
	}
}

// TestHostile has objects that would take long, or much memory, if they were
// read to the end.
func TestHostile(t *testing.T) {
	service := func(match string) string {
		return `{"metadata":{"name":"x","namespace":"shop"},"spec":{"hosts":["a"],"http":[{"match":[` + match + `],"route":[{"destination":{"host":"a"}}]}]}}`
	}
	regex := func(e string) string { return service(`{"uri":{"regex":"` + e + `"}}`) }
	many := strings.Repeat(`{"uri":{"regex":"(a|b)*c{500}"}},`, 40_000)
	cases := map[string]struct{ object, refused string }{
		"Nested":          {strings.Repeat(`{"a":`, 200_000), "nested deeper"},
		"NestedLists":     {`{"spec":` + strings.Repeat(`[`, 200_000), "nested deeper"},
		"Oversized":       {`{"a":"` + strings.Repeat("x", maxObject) + `"}`, "at most"},
		"LongExpression":  {regex(strings.Repeat("a", 9000)), "8192 are the most"},
		"LargeExpression": {regex(`((a{100}){100}){100}`), "no regular expression"},
		"Instructions":    {regex(strings.Repeat(`[ā-ž]{900}`, 60)), "instructions"},
		"Backreference":   {regex(`(a)\\1`), "no regular expression"},
		"ManyMatches":     {service(strings.TrimSuffix(many, ",")), ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			v := Object("networking.istio.io", "VirtualService", []byte(c.object), settings)
			if text := strings.Join(v.Refused, "\n"); (c.refused == "") != (text == "") || !strings.Contains(text, c.refused) {
				t.Errorf("refused: got %.300q, want %q", text, c.refused)
			}
			if took := time.Since(start); took > 30*time.Second {
				t.Errorf("it took %v", took)
			}
			for _, text := range append(v.Refused, v.Warnings...) {
				if len(text) > 1000 {
					t.Errorf("a message has %d bytes", len(text))
				}
			}
		})
	}
}

// TestNullItems has nothing where something belongs.
func TestNullItems(t *testing.T) {
	for kind, spec := range map[string]string{
		"VirtualService":  `{"hosts":["a"],"http":[null,{"match":[null],"route":[null],"mirrors":[null],"corsPolicy":{"allowOrigins":[null]}},{"match":[{"headers":{"a":null}}],"route":[{"destination":null}]}],"tls":[null,{"match":[null],"route":[null]}],"tcp":[null,{"match":[null],"route":[null]}]}`,
		"DestinationRule": `{"host":"a","subsets":[null],"trafficPolicy":{"portLevelSettings":[null],"loadBalancer":{"localityLbSetting":{"distribute":[null],"failover":[null]},"consistentHash":{"httpCookie":{"attributes":[null]}}}}}`,
		"Gateway":         `{"servers":[null,{"port":null,"hosts":[],"tls":{"tlsCertificates":[null]}}]}`,
		"Sidecar":         `{"egress":[null],"ingress":[null]}`,
		"EnvoyFilter":     `{"configPatches":[null,{"match":null}],"targetRefs":[null]}`,
		"ServiceEntry":    `{"hosts":["a.example"],"ports":[null],"endpoints":[null]}`,
		"WorkloadGroup":   `{}`,
	} {
		t.Run(kind, func(t *testing.T) {
			v := Object("networking.istio.io", kind, []byte(`{"metadata":{"name":"x","namespace":"shop"},"spec":`+spec+`}`), settings)
			if len(v.Refused) == 0 {
				t.Errorf("it is not refused: %v", v.Warnings)
			}
		})
	}
}

// TestManyItems has objects of the size that the API server takes, of as many
// items as fit: what is compared with each other must not take the square of it.
func TestManyItems(t *testing.T) {
	list := func(n int, item string) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strings.ReplaceAll(item, "#", strconv.Itoa(i)))
		}
		return b.String()
	}
	route := `"route":[{"destination":{"host":"a"}}]`
	for name, c := range map[string]struct{ kind, spec string }{
		"Hosts":       {"VirtualService", `{"hosts":[` + list(60_000, `"h#.example"`) + `],"http":[{` + route + `}]}`},
		"ServerNames": {"VirtualService", `{"hosts":[` + list(30_000, `"h#.example"`) + `],"tls":[{"match":[{"sniHosts":[` + list(30_000, `"h#.example"`) + `]}],` + route + `}]}`},
		"Matches":     {"VirtualService", `{"hosts":["a"],"http":[` + list(100, `{"match":[`+list(100, `{"port":1#}`)+`],`+route+`}`) + `,{"match":[` + list(30_000, `{"port":1#}`) + `],` + route + `}]}`},
		"Rules":       {"VirtualService", `{"hosts":["a"],"http":[` + list(15_000, `{"match":[{"port":#}],`+route+`}`) + `]}`},
		"Gateways":    {"VirtualService", `{"hosts":["a.b"],"gateways":[` + list(40_000, `"g#"`) + `],"http":[{"match":[{"gateways":[` + list(40_000, `"g#"`) + `]}],` + route + `}]}`},
		"Subsets":     {"DestinationRule", `{"host":"a","subsets":[` + list(50_000, `{"name":"s#"}`) + `]}`},
		"Ports":       {"DestinationRule", `{"host":"a","trafficPolicy":{"portLevelSettings":[` + list(40_000, `{"port":{"number":#}}`) + `]}}`},
		"Distribute":  {"DestinationRule", `{"host":"a","trafficPolicy":{"loadBalancer":{"localityLbSetting":{"distribute":[{"from":"a","to":{` + list(60_000, `"r#":1`) + `}}]}}}}`},
		"Failover":    {"DestinationRule", `{"host":"a","trafficPolicy":{"loadBalancer":{"localityLbSetting":{"failover":[` + list(30_000, `{"from":"a#","to":"b"}`) + `]}}}}`},
		"Servers":     {"Gateway", `{"servers":[` + list(12_000, `{"port":{"number":80,"name":"p#","protocol":"TCP"},"hosts":["*"]}`) + `]}`},
		"Egress":      {"Sidecar", `{"egress":[` + list(15_000, `{"port":{"number":#,"protocol":"TCP"},"hosts":["*/*"]}`) + `]}`},
		"Patches":     {"EnvoyFilter", `{"configPatches":[` + list(15_000, `{"applyTo":"CLUSTER","patch":{"operation":"REMOVE"}}`) + `]}`},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			v := Object("networking.istio.io", c.kind, []byte(`{"metadata":{"name":"x","namespace":"shop"},"spec":`+c.spec+`}`), settings)
			if took := time.Since(start); took > 12*time.Second {
				t.Errorf("it took %v", took)
			}
			if len(v.Problems) > 50 {
				t.Errorf("%d problems", len(v.Problems))
			}
		})
	}
}
