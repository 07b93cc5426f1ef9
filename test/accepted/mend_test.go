// SPDX-License-Identifier: Apache-2.0

package accepted_test

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/validate"
)

// tries to mend an object, after which it is given up.
const tries = 40

// mended object: as long as admission refuses a field, the field is removed, as who
// reads the refusal might do. It is given up when there is nothing left to remove.
func mended(t *testing.T, object string) (string, bool) {
	t.Helper()
	var content map[string]any
	if err := json.Unmarshal([]byte(object), &content); err != nil {
		t.Fatal(err)
	}
	for range tries {
		var field string
		refused := false
		for _, p := range validate.Unstructured(&unstructured.Unstructured{Object: clone(t, content)}, settings).Problems {
			if validate.Refuses(p) {
				refused, field = true, p.Field
				break
			}
		}
		if !refused {
			text, err := json.Marshal(content)
			if err != nil {
				t.Fatal(err)
			}
			// Of YAML, which it is read as, keys have at most 1024 characters when they are written so.
			_, err = yaml.JSONToYAML(text)
			return string(text), err == nil
		}
		if _, ok := without(content, steps(field)); !ok {
			return "", false
		}
	}
	return "", false
}

func clone(t *testing.T, content map[string]any) map[string]any {
	t.Helper()
	return (&unstructured.Unstructured{Object: content}).DeepCopy().Object
}

// steps of a field's path: spec.http[0].match is spec, http, 0, match.
func steps(field string) []string {
	var out []string
	for field != "" {
		switch end := strings.IndexAny(field, ".["); {
		case field[0] == '[':
			inside, rest, _ := strings.Cut(field[1:], "]")
			out, field = append(out, inside), rest
		case end == 0:
			field = field[1:]
		case end < 0:
			return append(out, field)
		default:
			out, field = append(out, field[:end]), field[end:]
		}
	}
	return out
}

// without what a path leads to, or without the deepest thing on the way to it that
// there is; false when that is all of it.
func without(at any, path []string) (any, bool) {
	if len(path) == 0 {
		return nil, false
	}
	switch in := at.(type) {
	case map[string]any:
		inner, there := in[path[0]]
		if !there {
			return nil, false
		}
		if less, ok := without(inner, path[1:]); ok {
			in[path[0]] = less
			return in, true
		}
		delete(in, path[0])
		return in, path[0] != "spec"
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil || i >= len(in) {
			return nil, false
		}
		if less, ok := without(in[i], path[1:]); ok {
			in[i] = less
			return in, true
		}
		return slices.Delete(in, i, i+1), len(in) > 1
	default:
		return nil, false
	}
}
