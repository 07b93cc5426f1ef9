// SPDX-License-Identifier: Apache-2.0

package fields_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	meshapi "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"
)

// proxys are the types of MeshConfig's defaultConfig, which is the injector's and the agent's.
var proxys = map[protoreflect.FullName]bool{"istio.mesh.v1alpha1.ProxyConfig": true}

// passive are the messages of extension providers that aren't acted on, and of other
// fields that are not honoured as a whole: which of their fields are set is not asked.
func passive(f protoreflect.FieldDescriptor) bool {
	switch f.FullName().Parent() {
	case "istio.mesh.v1alpha1.MeshConfig.ExtensionProvider":
		return f.Message() != nil && !strings.HasPrefix(string(f.Name()), "envoy_")
	case "istio.mesh.v1alpha1.MeshConfig":
		return f.Name() == "config_sources" || f.Name() == "certificates" || f.Name() == "ca" || f.Name() == "service_scope_configs" || f.Name() == "service_entry_visibility"
	}
	return false
}

// testMeshConfig takes each field of MeshConfig away in turn.
func testMeshConfig(t *testing.T, seen map[protoreflect.FullName]bool) {
	around, err := os.ReadFile("testdata/mesh/around.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"testdata/mesh/config.yaml", "testdata/mesh/zones.yaml", "testdata/mesh/unordered.yaml", "testdata/mesh/logs.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		whole := &meshapi.MeshConfig{}
		if text, err = yaml.YAMLToJSON(text); err == nil {
			err = whole.UnmarshalJSON(text)
		}
		if err != nil {
			t.Fatal(err)
		}
		c := newCheck(t, around)
		c.seen = seen
		c.in.Settings.TrustDomain, c.in.Settings.RootNamespace = "", "" // MeshConfig's
		c.meshConfig(whole)
	}
	complete(t, new(meshapi.MeshConfig).ProtoReflect().Descriptor(), seen, maps.Clone(proxys))
}

func (c *check) meshConfig(whole *meshapi.MeshConfig) {
	with := func(m *meshapi.MeshConfig) outcome {
		in := c.in
		text, err := protojson.Marshal(m)
		if err != nil {
			c.t.Fatal(err)
		}
		in.MeshConfig = string(text)
		return c.build(in)
	}
	base := with(whole)
	tell(base.problems)
	for _, change := range changes(whole.ProtoReflect(), "data.mesh", c.seen) {
		if strings.HasPrefix(change.path, "data.mesh.defaultConfig.") {
			continue
		}
		changed := proto.CloneOf(whole)
		change.do(changed.ProtoReflect())
		got := with(changed)
		if maps.Equal(base.resources, got.resources) && !told(slices.Concat(base.problems, got.problems), "istio", change) && elsewhere[change.field] == "" {
			c.t.Errorf("%s changes nothing, and nothing is told", change)
		}
	}
}
