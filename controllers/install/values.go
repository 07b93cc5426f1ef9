// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// ValuesError tells which values a chart refuses.
type ValuesError struct {
	Chart string
	// Problems, sorted: one per value.
	Problems []ValueProblem
}

// ValueProblem is what is wrong with one value.
type ValueProblem struct {
	// Path of the value, such as "global.proxy.logLevel"; empty is all of them.
	Path string
	// Message says what is wrong and what would be right.
	Message string
}

// Error names every value at fault.
func (e *ValuesError) Error() string {
	parts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		parts[i] = fmt.Sprintf("%q %s", p.Path, p.Message)
	}
	return fmt.Sprintf("chart %s refuses the values: %s", e.Chart, strings.Join(parts, "; "))
}

// ParseValues reads values from JSON, an object. Whole numbers become integers,
// as in a values file.
func ParseValues(raw []byte) (map[string]any, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return map[string]any{}, nil
	}
	var out any
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, fmt.Errorf("values are not JSON: %w", err)
	}
	switch values := whole(out).(type) {
	case nil:
		return map[string]any{}, nil
	case map[string]any:
		return values, nil
	default:
		return nil, errors.New("values must be an object, name to value")
	}
}

// whole turns floating-point numbers without a fraction into integers.
func whole(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = whole(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = whole(e)
		}
		return out
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v)
		}
	}
	return v
}

// MergeValues lays maps of values over one another: later ones win, objects are
// merged, everything else is replaced. Its arguments stay as they are.
func MergeValues(layers ...map[string]any) map[string]any {
	out := map[string]any{}
	for _, layer := range layers {
		for name, value := range layer {
			below, isObject := out[name].(map[string]any)
			above, overObject := value.(map[string]any)
			switch {
			case isObject && overObject:
				out[name] = MergeValues(below, above)
			case overObject:
				out[name] = MergeValues(above)
			default:
				out[name] = value
			}
		}
	}
	return out
}

var schemas sync.Map // chart name → func() (*jsonschema.Schema, error)

// check validates values that are laid over a chart's own. The chart's own are
// complete, so nothing is required of these.
func check(chart string, raw []byte, values map[string]any) error {
	if len(raw) == 0 {
		return nil
	}
	compile, _ := schemas.LoadOrStore(chart, sync.OnceValues(func() (*jsonschema.Schema, error) { return compileSchema(raw) }))
	schema, err := compile.(func() (*jsonschema.Schema, error))()
	if err != nil {
		return fmt.Errorf("chart %s: values.schema.json: %w", chart, err)
	}
	err = schema.Validate(any(withoutNulls(values)))
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return fmt.Errorf("chart %s: check values: %w", chart, err)
	}
	found := map[ValueProblem]bool{}
	collect(invalid, found)
	problems := slices.SortedFunc(maps.Keys(found), func(a, b ValueProblem) int {
		return strings.Compare(a.Path+"\x00"+a.Message, b.Path+"\x00"+b.Message)
	})
	return &ValuesError{Chart: chart, Problems: problems}
}

func compileSchema(raw []byte) (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	const url = "values.schema.json"
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(url, document); err != nil {
		return nil, err
	}
	return compiler.Compile(url)
}

// withoutNulls drops nulls: in values they take a default away.
func withoutNulls(values map[string]any) map[string]any {
	out := make(map[string]any, len(values))
	for name, value := range values {
		switch value := value.(type) {
		case nil:
		case map[string]any:
			out[name] = withoutNulls(value)
		default:
			out[name] = value
		}
	}
	return out
}

// collect adds the innermost causes of a validation error.
func collect(err *jsonschema.ValidationError, into map[ValueProblem]bool) {
	if unknown, ok := err.ErrorKind.(*kind.AdditionalProperties); ok {
		for _, name := range unknown.Properties {
			path := append(slices.Clone(err.InstanceLocation), name)
			into[ValueProblem{Path: strings.Join(path, "."), Message: "is not known: see the chart's values.yaml for its names"}] = true
		}
		return
	}
	if len(err.Causes) == 0 {
		text := err.ErrorKind.LocalizedString(message.NewPrinter(language.English))
		into[ValueProblem{Path: strings.Join(err.InstanceLocation, "."), Message: "is wrong: " + text}] = true
		return
	}
	for _, cause := range err.Causes {
		collect(cause, into)
	}
}
