// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/federation/wire"
)

var update = flag.Bool("update", false, "write what happens into the scripts")

// TestScripts runs testdata/*.txtar. The name of each file in them is a
// command, its content what the command makes happen: "->" goes to the hub,
// "<-" comes from it.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := string(txtar.Format(a))
			s := newSim(Limits{Services: 4, Instances: 3, Refusals: 5, Window: 2, Bytes: 1 << 16})
			for i := range a.Files {
				s.log = nil
				if err := s.run(a.Files[i].Name); err != nil {
					t.Fatalf("%s: %v", a.Files[i].Name, err)
				}
				a.Files[i].Data = nil
				if len(s.log) > 0 {
					a.Files[i].Data = []byte(strings.Join(s.log, "\n") + "\n")
				}
			}
			got := string(txtar.Format(a))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s (-want +got):\n%s", file, d)
			}
		})
	}
}

// run executes one command: a verb, words, and key=value options in any order.
func (s *sim) run(line string) error {
	f := strings.Fields(line)
	verb, words, opts := f[0], []string(nil), map[string][]string{}
	for _, w := range f[1:] {
		if k, v, ok := strings.Cut(w, "="); ok {
			opts[k] = append(opts[k], v)
		} else {
			words = append(words, w)
		}
	}
	opt := func(k, def string) string {
		if v := opts[k]; len(v) > 0 {
			return v[0]
		}
		return def
	}
	word := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	instance := func() (*simInstance, error) {
		if in := s.instances[word(0)]; in != nil {
			return in, nil
		}
		return nil, fmt.Errorf("%q is not connected", word(0))
	}
	switch verb {
	case "member":
		m := Member{
			Federation: "mesh/shop", Name: word(0), UID: opt("uid", word(0)), Network: model.NetworkID(opt("network", word(0))),
			TrustDomain: word(0) + ".shop.example", Cordoned: opt("cordoned", "") == "true",
			Intermediates: strings.Split(opt("serial", word(0)), ","), Exports: s.table[word(0)].Exports,
		}
		for _, g := range opts["gateway"] {
			m.Gateways = append(m.Gateways, model.GatewayAddress{Address: g, Port: 15443})
		}
		s.table[m.Name] = m
		s.setMembers()
	case "rules":
		var rules ExportRules
		for _, r := range words {
			members, namespaces, _ := strings.Cut(r, ":")
			rule := ExportRule{Namespaces: strings.Split(namespaces, ",")}
			if members != "" {
				rule.Members = strings.Split(members, ",")
			}
			rules = append(rules, rule)
		}
		for n, m := range s.table {
			m.Exports = rules
			s.table[n] = m
		}
		s.setMembers()
	case "delete":
		delete(s.table, word(0))
		s.setMembers()
	case "join":
		member, _, _ := strings.Cut(word(0), "/")
		s.join(word(0), opt("serial", member), word(1) == "mute")
	case "leave":
		if _, err := instance(); err != nil {
			return err
		}
		s.leave(word(0))
	case "restart":
		s.restart()
	case "export":
		svc, err := parseService(word(1), opts)
		if err != nil {
			return err
		}
		s.export(word(0), svc)
	case "withdraw":
		s.withdraw(word(0), parseKey(word(1)))
	case "stall", "resume":
		in, err := instance()
		if err != nil {
			return err
		}
		in.stalled = verb == "stall"
		s.answer(in)
		s.drain()
	case "send": // as an instance that minds no rules
		in, err := instance()
		if err != nil {
			return err
		}
		svc, err := parseService(word(1), opts)
		if err != nil {
			return err
		}
		s.send(in, &federationv1.ExportUpdate{Updated: []*federationv1.Service{svc}})
	case "remove":
		in, err := instance()
		if err != nil {
			return err
		}
		s.send(in, &federationv1.ExportUpdate{Removed: []*federationv1.ServiceKey{parseKey(word(1)).Message()}})
	case "ack":
		in, err := instance()
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(word(1), 10, 64)
		if err != nil {
			return err
		}
		s.step(Acknowledged{in.id, &federationv1.Ack{Nonce: n, Refused: []*federationv1.Refusal{{
			Member: "east", Key: wire.Key{Namespace: "shop", Name: "reviews"}.Message(), Reason: "Nonsense", Message: opt("message", ""),
		}}}})
	case "unreached": // gateways as member:address, or member:address:port
		in, err := instance()
		if err != nil {
			return err
		}
		u := &federationv1.Unreached{}
		for _, w := range words[1:] {
			f := append(strings.Split(w, ":"), "15443", "")
			port, err := strconv.ParseUint(f[2], 10, 32)
			if err != nil {
				return err
			}
			u.Gateways = append(u.Gateways, &federationv1.UnreachedGateway{Member: f[0], Gateway: &federationv1.Gateway{Address: f[1], Port: uint32(port)}})
		}
		s.step(Told{in.id, u})
	case "changed": // the members that the controllers were told of
		s.logf("changed: %s", strings.Join(s.changed, ", "))
	case "imports":
		in, err := instance()
		if err != nil {
			return err
		}
		for _, m := range names(in.imports.members) {
			s.logf("member %s", describeMember(in.imports.members[m]))
			for _, k := range keys(in.imports.services[m]) {
				s.logf("  %s", describeService(in.imports.services[m][k]))
			}
		}
	case "status":
		st := s.state.Status(word(0))
		s.logf("connected=%d exporting=%t synced=%t exported=%d imported=%d %s", st.Connected, st.Exporting, st.Synced, st.Exported, st.Imported, st.LastError)
		for _, r := range st.Refused {
			s.logf("refused %s/%s %s: %s", r.Namespace, r.Name, r.Reason, r.Message)
		}
		for _, u := range st.Unreached {
			s.logf("unreached %s from %s", u.Address, strings.Join(u.From, ","))
		}
		for _, r := range st.RefusedImports {
			s.logf("refuses %s:%s/%s %s: %s", r.Member, r.Namespace, r.Name, r.Reason, r.Message)
		}
	default:
		return fmt.Errorf("unknown command %q", verb)
	}
	return nil
}

func parseKey(s string) wire.Key {
	namespace, name, _ := strings.Cut(s, "/")
	return wire.Key{Namespace: namespace, Name: name}
}

// parseService reads port=80/http/HTTP, then zone=eu-1:2, subset=v1:version:v1:eu-1:2 and
// endpoint=10.0.0.1, which belong to every port, account=ns/name, created=5, kind=headless.
func parseService(key string, opts map[string][]string) (*federationv1.Service, error) {
	svc := &federationv1.Service{Key: parseKey(key).Message(), CreatedUnix: 100, ServiceAccounts: opts["account"]}
	for _, c := range opts["created"] {
		n, err := strconv.ParseInt(c, 10, 64)
		if err != nil {
			return nil, err
		}
		svc.CreatedUnix = n
	}
	for _, k := range opts["kind"] {
		n, _ := strconv.Atoi(k) // a number is a kind that nobody knows
		svc.Kind = federationv1.Service_Kind(n)
		if k == "headless" {
			svc.Kind = federationv1.Service_HEADLESS
		}
	}
	for _, h := range opts["hash"] {
		svc.Hash = []byte(h)
	}
	for _, p := range opts["port"] {
		parts := append(strings.Split(p, "/"), "", "")
		n, err := strconv.ParseUint(parts[0], 10, 32)
		if err != nil {
			return nil, err
		}
		port := &federationv1.Port{Number: uint32(n), Name: parts[1], Protocol: federationv1.Port_Protocol(federationv1.Port_Protocol_value[parts[2]])}
		for _, z := range opts["zone"] {
			zone, ready, _ := strings.Cut(z, ":")
			n, err := strconv.ParseUint(ready, 10, 32)
			if err != nil {
				return nil, err
			}
			port.Zones = append(port.Zones, &federationv1.Zone{Locality: &federationv1.Locality{Region: "eu", Zone: zone}, Ready: uint32(n)})
		}
		for _, s := range opts["subset"] { // name:key:value:zone:ready, the zone in region eu
			f := append(strings.Split(s, ":"), "", "", "", "")
			sub := &federationv1.Subset{Name: f[0], Labels: string(model.LabelsOf(map[string]string{f[1]: f[2]}))}
			if n, err := strconv.ParseUint(f[4], 10, 32); err == nil {
				sub.Zones = []*federationv1.Zone{{Locality: &federationv1.Locality{Region: "eu", Zone: f[3]}, Ready: uint32(n)}}
			}
			port.Subsets = append(port.Subsets, sub)
		}
		for _, e := range opts["endpoint"] {
			port.Endpoints = append(port.Endpoints, &federationv1.Endpoint{Address: e, Port: 8080, Mtls: true})
		}
		svc.Ports = append(svc.Ports, port)
	}
	return svc, nil
}
