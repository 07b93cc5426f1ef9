// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	meshv1alpha1 "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/proxyconfig"
)

// ParseMesh reads the YAML of ConfigMap istio, key mesh. Fields that this
// version does not know are passed over here; ingest makes Problems of them.
func ParseMesh(text string) (*meshv1alpha1.MeshConfig, error) {
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("mesh configuration is not YAML: %w", err)
	}
	mesh := &meshv1alpha1.MeshConfig{}
	if string(data) == "null" {
		return mesh, nil
	}
	// Istio's own decoder takes durations such as 5m, and unknown fields; the other
	// one says better what is wrong.
	if err := mesh.UnmarshalJSON(data); err != nil {
		if clear := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &meshv1alpha1.MeshConfig{}); clear != nil {
			err = clear
		}
		return nil, fmt.Errorf("mesh configuration: %s", plain(err))
	}
	if mesh.GetDefaultConfig() != nil {
		// What can't be used is told by ingest, and must not keep pods from starting.
		proxyconfig.Drop(mesh.GetDefaultConfig())
	}
	return mesh, nil
}
