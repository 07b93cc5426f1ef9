// SPDX-License-Identifier: Apache-2.0

package networking_test

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/ingest/networking"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// words of the model's enumerations.
var words = map[reflect.Type][]string{
	reflect.TypeFor[model.MatchKind]():        {"any", "exact", "prefix", "path-prefix", "suffix", "regex", "present", "template"},
	reflect.TypeFor[model.BalancerKind]():     {"default", "least-request", "round-robin", "random", "passthrough", "ring-hash", "maglev"},
	reflect.TypeFor[model.ClientTLSMode]():    {"auto", "disable", "simple", "mutual", "mesh-mutual"},
	reflect.TypeFor[model.ListenerProtocol](): {"HTTP", "HTTPS", "TLS", "TCP", "UDP"},
	reflect.TypeFor[model.ListenerTLSMode]():  {"terminate", "mutual", "optional-mutual", "mesh", "passthrough", "auto-passthrough"},
}

// describe writes what is set in an output, one line per object, list item or
// field that doesn't fit into its line.
func describe(out *networking.Output) string {
	var b strings.Builder
	for _, r := range out.Routings {
		part(&b, "routing", r.Origin, r)
	}
	for _, p := range out.Policies {
		part(&b, "policy", p.Origin, p)
	}
	for _, g := range out.Gateways {
		part(&b, "gateway", g.Origin, g)
	}
	for _, s := range out.Scopes {
		part(&b, "scope", s.Origin, s)
	}
	for _, p := range out.Patches {
		part(&b, "patch", p.Origin, p)
	}
	for _, p := range out.Proxies {
		part(&b, "proxies", p.Origin, p)
	}
	for _, p := range out.Problems {
		fmt.Fprintf(&b, "problem %s %s/%s %s: %s\n  %s\n", p.Kind, p.Namespace, p.Name, p.Field, p.Reason, p.Message)
	}
	return b.String()
}

func part(b *strings.Builder, what string, o model.Origin, v any) {
	fmt.Fprintf(b, "%s %s/%s\n", what, o.Namespace, o.Name)
	fieldsOf(b, reflect.ValueOf(v).Elem(), "  ")
}

// fieldsOf writes the fields that aren't zero.
func fieldsOf(b *strings.Builder, v reflect.Value, indent string) {
	for i := range v.NumField() {
		f := v.Field(i)
		name := v.Type().Field(i).Name
		switch {
		case f.IsZero() || name == "Origin":
		case v.Type().Field(i).Anonymous:
			fieldsOf(b, f, indent)
		default:
			value(b, name, f, indent)
		}
	}
}

func value(b *strings.Builder, name string, v reflect.Value, indent string) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if text, ok := inline(v); ok {
		fmt.Fprintf(b, "%s%s %s\n", indent, name, text)
		return
	}
	if v.Kind() == reflect.Slice {
		for i := range v.Len() {
			value(b, fmt.Sprintf("%s[%d]", name, i), v.Index(i), indent)
		}
		return
	}
	fmt.Fprintf(b, "%s%s\n", indent, name)
	fieldsOf(b, v, indent+"  ")
}

// inline is a value on one line; false when it takes several.
func inline(v reflect.Value) (string, bool) {
	if names := words[v.Type()]; names != nil {
		return names[v.Uint()], true
	}
	switch x := v.Interface().(type) {
	case time.Duration:
		return x.String(), true
	case model.Protocol:
		return x.String(), true
	case model.Match:
		text := fmt.Sprintf("%s %q", words[reflect.TypeFor[model.MatchKind]()][x.Kind], x.Value)
		if x.IgnoreCase {
			text += " ignoring case"
		}
		return text, true
	case model.GatewayRef:
		return strings.Trim(x.Namespace+"/"+x.Name, "/"), true
	case model.ListenerHost:
		return x.Namespace + "/" + x.Host, true
	case []byte:
		return string(x), true
	}
	switch v.Kind() {
	case reflect.String:
		return fmt.Sprintf("%q", v.String()), true
	case reflect.Slice:
		var items []string
		for i := range v.Len() {
			text, ok := inline(v.Index(i))
			if !ok {
				return "", false
			}
			items = append(items, text)
		}
		return "[" + strings.Join(items, " ") + "]", true
	case reflect.Struct:
		return "", false
	default:
		return fmt.Sprint(v.Interface()), true
	}
}
