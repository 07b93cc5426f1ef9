// SPDX-License-Identifier: Apache-2.0

package fields_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/registration"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
)

// kinds whose every field is looked at, by their slices in ingest.Istio.
var kinds = []string{"VirtualServices", "DestinationRules", "Gateways", "ServiceEntries", "Sidecars", "WorkloadEntries", "WorkloadGroups", "ProxyConfigs", "EnvoyFilters"}

// TestFields is all of it; the page is written out of what the objects were told.
func TestFields(t *testing.T) {
	seen := map[protoreflect.FullName]bool{}
	t.Run("Networking", func(t *testing.T) { testEveryField(t, seen) })
	t.Run("MeshConfig", func(t *testing.T) { testMeshConfig(t, seen) })
	t.Run("Page", testPage)
}

// testEveryField takes each field of each object away, and puts each other value
// of an enumeration in: something must follow, or have been told.
func testEveryField(t *testing.T, seen map[protoreflect.FullName]bool) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("there are no objects in testdata: %v", err)
	}
	for _, file := range files {
		if filepath.Base(file) == "world.yaml" {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c := newCheck(t, text)
			c.seen = seen
			c.base = c.build(c.in)
			tell(c.base.problems)
			for _, kind := range kinds {
				c.kind(kind)
			}
		})
	}
	for _, kind := range kinds {
		spec := specOf(reflect.New(reflect.TypeFor[ingest.Istio]()).Elem().FieldByName(kind).Type().Elem().Elem())
		complete(t, spec.ProtoReflect().Descriptor(), seen, map[protoreflect.FullName]bool{})
	}
}

// complete tells of fields that no object sets.
func complete(t *testing.T, d protoreflect.MessageDescriptor, seen, visited map[protoreflect.FullName]bool) {
	if visited[d.FullName()] || d.ParentFile().Package() == "google.protobuf" {
		return
	}
	visited[d.FullName()] = true
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		if passive(f) {
			continue
		}
		if !seen[f.FullName()] {
			t.Errorf("no object in testdata sets %s", f.FullName())
		}
		if value := f.MapValue(); f.IsMap() && value.Message() != nil {
			complete(t, value.Message(), seen, visited)
		} else if f.Message() != nil && !f.IsMap() {
			complete(t, f.Message(), seen, visited)
		}
	}
}

func specOf(object reflect.Type) proto.Message {
	spec, _ := reflect.New(object).Elem().FieldByName("Spec").Addr().Interface().(proto.Message)
	return spec
}

// outcome of a build: what proxies get, by proxy, type and name, and what is told.
type outcome struct {
	resources map[string]string
	problems  []model.Problem
}

type check struct {
	t    *testing.T
	in   ingest.Input
	base outcome
	// built and snapshot are the first ones: only what differs is made again.
	built    *ingest.Result
	snapshot *snapshot.Snapshot
	seen     map[protoreflect.FullName]bool
	// name of what is looked at, for people.
	name string
	// there: what is told must be about the field's own place.
	there bool
	// excused are fields that do nothing here because what they say is so anyway.
	excused func(change) bool
	// caller is the only pod whose proxy is looked at; empty for all, and the gateway between networks.
	caller string
}

// newCheck of objects in the world of testdata.
func newCheck(t *testing.T, objects []byte) *check {
	t.Helper()
	world, err := os.ReadFile("testdata/world.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return newCheckIn(t, string(world)+"\n---\n"+string(objects))
}

// newCheckIn a world of its own.
func newCheckIn(t *testing.T, objects string) *check {
	t.Helper()
	read, err := manifest.Read([]byte(objects))
	if err != nil {
		t.Fatal(err)
	}
	read.Settings = model.Settings{RootNamespace: "istio-system", DomainSuffix: "cluster.local", TrustDomain: "cluster.local", Cluster: "here", Network: "n1"}
	for _, name := range []string{"a-cert", "b-cert", "client-ca"} {
		read.Credentials = append(read.Credentials, &model.Credential{
			CredentialRef: model.CredentialRef{Namespace: "shop", Name: name},
			Certificate:   []byte("certificate of " + name), Key: model.Private([]byte("key")), CA: []byte("CA of " + name),
		})
	}
	return &check{t: t, in: read.Input, seen: map[protoreflect.FullName]bool{}}
}

// build what every pod of the mesh, and the gateway between networks, gets.
func (c *check) build(in ingest.Input) outcome {
	built := ingest.Build(in, c.built)
	m := built.Mesh
	s := snapshot.Build(m, c.snapshot)
	if c.built == nil {
		c.built, c.snapshot = built, s
	}
	out := outcome{resources: map[string]string{}}
	show := func(name string, p *model.Proxy) {
		for of, layers := range s.View(p).Types {
			for _, r := range slices.Concat(layers.Shared.Resources(), layers.Own.Resources()) {
				out.resources[name+" "+of[strings.LastIndex(of, ".")+1:]+" "+r.Name] = r.Version
			}
		}
	}
	if c.caller == "" {
		show("east-west", &model.Proxy{Type: model.Router, Labels: map[string]string{"istio.io/gateway-kind": "east-west"}})
	}
	for _, w := range m.Workloads {
		if c.caller != "" && w.Name != c.caller {
			continue
		}
		p := &model.Proxy{Type: model.Sidecar, Namespace: w.Namespace, Name: w.Name, Workload: w, Labels: w.Labels, Addresses: w.Addresses}
		if w.Labels["istio"] != "" {
			p.Type = model.Router
		}
		show(w.Namespace+"/"+w.Name, p)
	}
	// Patches are seen as they are: test/pipeline and package patch show what each does.
	patches, err := json.Marshal(m.Patches)
	if err != nil {
		c.t.Fatal(err)
	}
	out.resources["patches"] = string(patches)
	// Injection gives pods what these say: package inject shows how.
	configs, err := json.Marshal(m.ProxyConfigs)
	if err != nil {
		c.t.Fatal(err)
	}
	out.resources["proxyconfigs"] = string(configs)
	// Machines get entries of these, and their agents the probe (`isthmesh workload configure`).
	for _, g := range in.Istio.WorkloadGroups {
		made, err := json.Marshal([]any{registration.Entry(&model.Machine{Address: netip.MustParseAddr("10.0.0.7")}, g, "a", time.Time{}), g.Spec.GetProbe()})
		if err != nil {
			c.t.Fatal(err)
		}
		out.resources["entry of "+g.Namespace+"/"+g.Name] = string(made)
	}
	out.problems = append(slices.Clone(m.Problems), s.Problems()...)
	return out
}

// refused is true when the object can't be used as it is, which its admission says.
func (o outcome) refused() bool {
	return slices.ContainsFunc(o.problems, func(p model.Problem) bool { return p.Reason == ingest.Invalid && p.Name == "every" })
}

// kind checks all objects in one of the slices of ingest.Istio.
func (c *check) kind(name string) {
	all := reflect.ValueOf(c.in.Istio).FieldByName(name)
	for i := range all.Len() {
		object, _ := all.Index(i).Interface().(runtime.Object)
		at := all.Index(i).Elem().FieldByName("Name").String()
		spec := func(o runtime.Object) protoreflect.Message {
			m, _ := reflect.ValueOf(o).Elem().FieldByName("Spec").Addr().Interface().(proto.Message)
			return m.ProtoReflect()
		}
		for _, change := range changes(spec(object), "spec", c.seen) {
			changed := object.DeepCopyObject()
			change.do(spec(changed))
			in := c.in
			list := reflect.MakeSlice(all.Type(), 0, all.Len())
			list = reflect.AppendSlice(list, all)
			list.Index(i).Set(reflect.ValueOf(changed))
			reflect.ValueOf(&in.Istio).Elem().FieldByName(name).Set(list)
			got := c.build(in)
			said := told
			if c.there {
				said = toldThere
			}
			if maps.Equal(c.base.resources, got.resources) && !said(slices.Concat(c.base.problems, got.problems), at, change) && elsewhere[change.field] == "" &&
				(c.excused == nil || !c.excused(change)) {
				c.t.Errorf("%s %s %s: %s changes nothing, and nothing is told", c.name, strings.TrimSuffix(name, "s"), at, change)
			}
		}
	}
}

// told is true when a Problem of the object names the field, or one above it that
// isn't honoured or changes nothing, or refuses the item that it is in.
func told(problems []model.Problem, object string, c change) bool {
	return slices.ContainsFunc(problems, func(p model.Problem) bool {
		named := strings.Contains(p.Field, c.name) || strings.Contains(p.Message, c.name)
		item, _, within := strings.Cut(p.Field, "]")
		useless := p.Reason == ingest.Invalid || p.Reason == ingest.NoEffect && strings.Contains(p.Message, "so nothing is patched")
		refused := useless && within && strings.HasPrefix(c.path, item+"]")
		return p.Name == object && p.Message != "" && (named || refused || p.Reason == ingest.NotSupported && strings.HasPrefix(c.path, p.Field))
	})
}

// toldThere is true when a Problem of the object is about the field itself, one
// above it, or what stands in it; indexes aside, since objects of maps have keys.
// Of a field beside it a Problem tells only by its whole name.
func toldThere(problems []model.Problem, object string, c change) bool {
	path := index.ReplaceAllString(c.path, "")
	above := path[:strings.LastIndex(path, ".")]
	return slices.ContainsFunc(problems, func(p model.Problem) bool {
		field := index.ReplaceAllString(p.Field, "")
		switch {
		case p.Name != object || p.Message == "" || !strings.HasPrefix(field, "spec."):
			return false
		case field == path || strings.HasPrefix(path, field+".") || strings.HasPrefix(field, path+"."):
			return true
		}
		return strings.HasPrefix(field, above) && regexp.MustCompile(`\b`+c.name+`\b`).MatchString(p.Message)
	})
}

// change of one field.
type change struct {
	// field by its full name, name by the API's, path in the object, and what is done to it.
	field            protoreflect.FullName
	name, path, what string
	do               func(protoreflect.Message)
}

func (c change) String() string { return fmt.Sprintf("%s %s", c.path, c.what) }

// changes that can be made to a message, one at a time.
func changes(m protoreflect.Message, path string, seen map[protoreflect.FullName]bool) []change {
	var out []change
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !m.Has(f) {
			continue
		}
		seen[f.FullName()] = true
		at := path + "." + f.JSONName()
		leave := func(what string, do func(protoreflect.Message)) {
			out = append(out, change{f.FullName(), f.JSONName(), at, what, do})
		}
		within := func(at string, of protoreflect.Message, get func(protoreflect.Message) protoreflect.Message) {
			for _, c := range changes(of, at, seen) {
				do := c.do
				c.do = func(m protoreflect.Message) { do(get(m)) }
				out = append(out, c)
			}
		}
		switch {
		case f.IsMap():
			for _, k := range keys(m.Get(f).Map()) {
				leave("without "+k.String(), func(m protoreflect.Message) { m.Mutable(f).Map().Clear(k) })
				if f.MapValue().Message() != nil {
					within(fmt.Sprintf("%s[%s]", at, k), m.Get(f).Map().Get(k).Message(), func(m protoreflect.Message) protoreflect.Message {
						return m.Mutable(f).Map().Mutable(k).Message()
					})
				}
			}
		case f.IsList():
			for j := range m.Get(f).List().Len() {
				leave(fmt.Sprintf("without [%d]", j), func(m protoreflect.Message) { without(m.Mutable(f).List(), j, func() { m.Clear(f) }) })
				if f.Message() != nil {
					within(fmt.Sprintf("%s[%d]", at, j), m.Get(f).List().Get(j).Message(), func(m protoreflect.Message) protoreflect.Message {
						return m.Mutable(f).List().Get(j).Message()
					})
				}
			}
		default:
			leave("taken away", func(m protoreflect.Message) { m.Clear(f) })
			if f.Message() != nil && f.Message().ParentFile().Package() != "google.protobuf" {
				within(at, m.Get(f).Message(), func(m protoreflect.Message) protoreflect.Message { return m.Mutable(f).Message() })
			}
			if f.Enum() != nil {
				for j := range f.Enum().Values().Len() {
					if v := f.Enum().Values().Get(j); v.Number() != m.Get(f).Enum() {
						leave("as "+string(v.Name()), func(m protoreflect.Message) { m.Set(f, protoreflect.ValueOfEnum(v.Number())) })
					}
				}
			}
		}
	}
	return out
}

// without one item of a list; none clears it.
func without(l protoreflect.List, i int, none func()) {
	if l.Len() == 1 {
		none()
		return
	}
	for ; i < l.Len()-1; i++ {
		l.Set(i, l.Get(i+1))
	}
	l.Truncate(l.Len() - 1)
}

func keys(m protoreflect.Map) []protoreflect.MapKey {
	var out []protoreflect.MapKey
	m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		out = append(out, k)
		return true
	})
	slices.SortFunc(out, func(a, b protoreflect.MapKey) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// elsewhere is where fields are honoured that don't show in what proxies get.
var elsewhere = map[protoreflect.FullName]string{
	"istio.type.v1beta1.PolicyTargetReference.namespace":                    "it may only be the filter's own",
	"istio.networking.v1alpha3.SidecarPort.name":                            "it names the port for people",
	"istio.networking.v1alpha3.SidecarPort.protocol":                        "services say the protocols of their ports; where a listener has none, it is told by the first bytes",
	"istio.mesh.v1alpha1.MeshConfig.service_settings":                       "what other members export under such a host isn't called; nothing is imported here",
	"istio.mesh.v1alpha1.MeshConfig.ServiceSettings.settings":               "likewise",
	"istio.mesh.v1alpha1.MeshConfig.ServiceSettings.Settings.cluster_local": "likewise",
	"istio.mesh.v1alpha1.MeshConfig.ingress_service":                        "controllers write the service's addresses into the statuses of Ingresses",
}

// tell collects what is not honoured, for the page that lists it.
func tell(problems []model.Problem) {
	for _, p := range problems {
		if p.Reason == ingest.NotSupported {
			unhonoured = append(unhonoured, p)
		}
	}
}

// unhonoured is what the objects in testdata were told.
var unhonoured []model.Problem
