// SPDX-License-Identifier: Apache-2.0

package patches

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/proto"

	"github.com/isthmesh/isthmesh/controlplane/agent/bootstrap"
)

// kept is a patch in the file.
type kept struct {
	Name    string `json:"name"`
	Replace bool   `json:"replace,omitempty"`
	// Value is the message's bytes.
	Value []byte `json:"value"`
}

// Save keeps patches in a file.
func Save(path string, patches []bootstrap.Patch) error {
	list := make([]kept, 0, len(patches))
	for _, p := range patches {
		body, err := proto.MarshalOptions{Deterministic: true}.Marshal(p.Value)
		if err != nil {
			return fmt.Errorf("keep patch %q of the bootstrap: %w", p.Name, err)
		}
		list = append(list, kept{p.Name, p.Replace, body})
	}
	text, err := json.Marshal(list)
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep the patches of the bootstrap: %w", err)
	}
	return nil
}

// Load what Save kept; none where there is no file.
func Load(path string) ([]bootstrap.Patch, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var list []kept
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("read the patches of the bootstrap that were kept: %w", err)
	}
	var out []bootstrap.Patch
	for _, k := range list {
		value := &bootstrapv3.Bootstrap{}
		if err := proto.Unmarshal(k.Value, value); err != nil {
			return nil, fmt.Errorf("read the patches of the bootstrap that were kept: %w", err)
		}
		out = append(out, bootstrap.Patch{Name: k.Name, Replace: k.Replace, Value: value})
	}
	return out, nil
}
