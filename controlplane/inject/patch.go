// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"encoding/json"
	"fmt"

	"gomodules.xyz/jsonpatch/v2"
)

// patch is what turns one object into another, as a JSON patch. Both are
// compared as our types write them, so that fields which our types don't know
// are in neither and stay as they are.
func patch(before, after any) ([]jsonpatch.Operation, error) {
	from, err := json.Marshal(before)
	if err != nil {
		return nil, fmt.Errorf("write the pod: %w", err)
	}
	to, err := json.Marshal(after)
	if err != nil {
		return nil, fmt.Errorf("write the injected pod: %w", err)
	}
	operations, err := jsonpatch.CreatePatch(from, to)
	if err != nil {
		return nil, fmt.Errorf("compare the pods: %w", err)
	}
	return operations, nil
}
