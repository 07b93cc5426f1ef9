// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	meshv1alpha1 "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"
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
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, mesh); err != nil {
		return nil, fmt.Errorf("mesh configuration: %w", err)
	}
	return mesh, nil
}
