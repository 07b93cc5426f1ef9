// SPDX-License-Identifier: Apache-2.0

package fields

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ours is where the types of Isthmesh's own kinds are, which are plain structs.
const ours = "github.com/isthmesh/isthmesh/api/"

// plainSpec is the type of the spec of an object, when that is one of ours.
func plainSpec(object any) (reflect.Type, bool) {
	t := reflect.TypeOf(object)
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct || !strings.HasPrefix(t.PkgPath(), ours) {
		return nil, false
	}
	spec, ok := t.FieldByName("Spec")
	return spec.Type, ok
}

// plain goes through a value and its type side by side. What the type doesn't have goes
// to unknown, what is of another type to misfits; either may be nil.
type plain struct {
	unknown *[]string
	misfits *misfits
}

func (p plain) tell(path, format string, args ...any) {
	if p.misfits != nil {
		p.misfits.tell(path, format, args...)
	}
}

func (p plain) value(t reflect.Type, value any, path string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case value == nil:
		p.tell(path, "it is null; give it a value, or leave it out")
	case t == reflect.TypeFor[metav1.Duration]():
		if p.misfits != nil {
			p.misfits.duration(value, path)
		}
	case t.Kind() == reflect.Struct:
		p.object(t, value, path)
	case t.Kind() == reflect.Slice:
		list, ok := value.([]any)
		if !ok {
			p.tell(path, "%s is no list; begin each item with a dash", shown(value))
		}
		for i, item := range list {
			p.value(t.Elem(), item, fmt.Sprintf("%s[%d]", path, i))
		}
	case t.Kind() == reflect.Map:
		entries, ok := value.(map[string]any)
		if !ok {
			p.tell(path, "%s is no map; write key: value", shown(value))
		}
		for _, key := range slices.Sorted(maps.Keys(entries)) {
			p.value(t.Elem(), entries[key], path+"["+key+"]")
		}
	case t.Kind() == reflect.String:
		if _, ok := value.(string); !ok {
			p.tell(path, "%s is no text; write it in quotes", shown(value))
		}
	case t.Kind() == reflect.Int32:
		switch n, ok := number(value); {
		case !ok || n != math.Trunc(n):
			p.tell(path, "%s is no whole number; write one, without quotes", shown(value))
		case n < math.MinInt32 || n > math.MaxInt32:
			p.tell(path, "%s is outside of what the field holds; use a number nearer to 0", shown(value))
		}
	}
}

func (p plain) object(t reflect.Type, value any, path string) {
	object, ok := value.(map[string]any)
	if !ok {
		p.tell(path, "%s is no object; write its fields below it", shown(value))
		return
	}
	have := reflect.VisibleFields(t)
	for _, name := range slices.Sorted(maps.Keys(object)) {
		i := slices.IndexFunc(have, func(f reflect.StructField) bool {
			tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			return tag == name
		})
		switch at := path + "." + name; {
		case i >= 0:
			p.value(have[i].Type, object[name], at)
		case p.unknown != nil:
			*p.unknown = append(*p.unknown, at)
		}
	}
}
