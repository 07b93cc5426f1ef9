// SPDX-License-Identifier: Apache-2.0

package security

import (
	"fmt"
	"slices"
	"strings"

	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	"sigs.k8s.io/yaml"

	"golang.org/x/tools/txtar"
)

// Scenario is one file of the table: policies, and calls under them.
type Scenario struct {
	Name            string
	Authorizations  []*securityv1.AuthorizationPolicy
	Authentications []*securityv1.RequestAuthentication
	Calls           []Call
	// Normalization is meshConfig.pathNormalization; empty for BASE.
	Normalization string
	// MeshConfig is YAML, and Topology what it says of proxies before a gateway.
	MeshConfig string
	Topology   Topology
}

// Judged is true when a person said what becomes of some of the calls.
func (s *Scenario) Judged() bool {
	return slices.ContainsFunc(s.Calls, func(c Call) bool { return c.Expect != "" })
}

// Topology is MeshConfig's defaultConfig.gatewayTopology.
type Topology struct {
	NumTrustedProxies int       `json:"numTrustedProxies"`
	ProxyProtocol     *struct{} `json:"proxyProtocol"`
}

// Call is one case. Its fields are as they stand in the table.
type Call struct {
	Port, Caller, Method, Path, Host, Token string
	// SNI is the server name that TLS asks for; empty for the port's usual one.
	SNI string
	// From is the client that a PROXY protocol line names.
	From string
	// Headers are "name=value", several joined by "&".
	Headers string
	// Expect is what a person says: allow, deny, or empty.
	Expect string
}

func (c Call) String() string {
	return fmt.Sprintf("port=%s caller=%s method=%s host=%s path=%s headers=%s token=%s sni=%s from=%s",
		c.Port, c.Caller, c.Method, c.Host, c.Path, c.Headers, c.Token, c.SNI, c.From)
}

// TCP is true when the call is a connection without requests.
func (c Call) TCP() bool { return strings.HasPrefix(c.Port, "tcp-") }

// Read a file of the table. The policies stand in part policies.yaml, where
// ${name} is replaced as told. Each line of part calls is a product of axes:
// "axis: value value ..." are defaults for the lines that follow, "axis=value,value"
// pairs in one line are asked at once.
func Read(name string, data []byte, replace *strings.Replacer) ([]Scenario, error) {
	archive := txtar.Parse(data)
	var out []Scenario
	for _, f := range archive.Files {
		part, file, _ := strings.Cut(f.Name, " ")
		switch file {
		case "policies":
			s := Scenario{Name: name + "/" + part}
			if err := s.policies(replace.Replace(string(f.Data))); err != nil {
				return nil, fmt.Errorf("%s: %w", s.Name, err)
			}
			out = append(out, s)
		case "calls":
			if len(out) == 0 {
				return nil, fmt.Errorf("%s: calls before policies", name)
			}
			if err := out[len(out)-1].calls(string(f.Data)); err != nil {
				return nil, fmt.Errorf("%s %s: %w", name, part, err)
			}
		default:
			return nil, fmt.Errorf("%s: part %q is neither policies nor calls", name, f.Name)
		}
	}
	// Scenarios without calls of their own take those of the next that has some.
	for i := len(out) - 2; i >= 0; i-- {
		if out[i].Calls == nil {
			out[i].Calls = out[i+1].Calls
		}
	}
	return out, nil
}

func (s *Scenario) policies(text string) error {
	for i, doc := range strings.Split(text, "\n---\n") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		var head struct {
			Kind string `json:"kind"`
			Mode string `json:"mode"`
		}
		if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
			return err
		}
		switch head.Kind {
		case "AuthorizationPolicy", "":
			o := &securityv1.AuthorizationPolicy{}
			if err := yaml.Unmarshal([]byte(doc), o); err != nil {
				return err
			}
			if o.Name == "" {
				o.Name = fmt.Sprint("policy-", i)
			}
			if o.Namespace == "" {
				o.Namespace = "shop"
			}
			s.Authorizations = append(s.Authorizations, o)
		case "RequestAuthentication":
			o := &securityv1.RequestAuthentication{}
			if err := yaml.Unmarshal([]byte(doc), o); err != nil {
				return err
			}
			if o.Namespace == "" {
				o.Namespace = "shop"
			}
			s.Authentications = append(s.Authentications, o)
		case "PathNormalization":
			s.Normalization = head.Mode
		case "MeshConfig":
			var config struct {
				DefaultConfig struct {
					GatewayTopology Topology `json:"gatewayTopology"`
				} `json:"defaultConfig"`
			}
			if err := yaml.Unmarshal([]byte(doc), &config); err != nil {
				return err
			}
			s.MeshConfig = strings.TrimPrefix(doc, "kind: MeshConfig\n")
			s.Topology = config.DefaultConfig.GatewayTopology
		default:
			return fmt.Errorf("kind %q has no place here", head.Kind)
		}
	}
	return nil
}

// axes in the order in which they vary, with what they are when nothing is said.
var axes = []struct{ name, value string }{
	{"port", "http-strict"}, {"caller", "cart"}, {"method", "GET"}, {"path", "/"}, {"host", "server"}, {"headers", "-"}, {"token", "-"}, {"sni", "-"}, {"from", "-"}, {"expect", "-"},
}

func (s *Scenario) calls(text string) error {
	defaults := map[string][]string{}
	for _, a := range axes {
		defaults[a.name] = []string{a.value}
	}
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if axis, values, ok := strings.Cut(line, ": "); ok && !strings.Contains(axis, "=") {
			if defaults[axis] == nil {
				return fmt.Errorf("there is no axis %q", axis)
			}
			defaults[axis] = strings.Fields(values)
			continue
		}
		row := map[string][]string{}
		for k, v := range defaults {
			row[k] = v
		}
		if line != "*" {
			for _, field := range strings.Fields(line) {
				axis, values, _ := strings.Cut(field, "=")
				if row[axis] == nil {
					return fmt.Errorf("there is no axis %q", axis)
				}
				row[axis] = strings.Split(values, ",")
			}
		}
		s.product(row)
	}
	return nil
}

func (s *Scenario) product(row map[string][]string) {
	calls := []map[string]string{{}}
	for _, a := range axes {
		var next []map[string]string
		for _, c := range calls {
			for _, v := range row[a.name] {
				with := map[string]string{a.name: v}
				for k, old := range c {
					with[k] = old
				}
				next = append(next, with)
			}
		}
		calls = next
	}
	seen := map[Call]bool{}
	for _, c := range calls {
		call := Call{
			Port: c["port"], Caller: c["caller"], Method: c["method"], Path: c["path"], Host: c["host"],
			Headers: dash(c["headers"]), Token: dash(c["token"]), SNI: dash(c["sni"]), From: dash(c["from"]), Expect: dash(c["expect"]),
		}
		if call.TCP() {
			call.Method, call.Path, call.Host, call.Headers, call.Token = "", "", "", "", ""
		}
		if seen[call] || !strings.HasPrefix(call.Caller, "plain") && strings.HasSuffix(call.Port, "-plaintext") {
			continue // a proxy that takes no TLS isn't offered any
		}
		seen[call] = true
		s.Calls = append(s.Calls, call)
	}
}

func dash(s string) string {
	if s == "-" {
		return ""
	}
	return s
}
