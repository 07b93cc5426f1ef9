// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// documents is an array of documents.
func documents(value any) ([]bson.D, error) {
	all, _ := value.(bson.A)
	var out []bson.D
	for _, one := range all {
		d, ok := one.(bson.D)
		if !ok {
			return nil, fmt.Errorf("want documents, got %T", one)
		}
		out = append(out, d)
	}
	return out, nil
}

// otherThan is the first field of a document that is none of the given ones.
func otherThan(d bson.D, names ...string) string {
	for _, field := range d {
		if !slices.Contains(names, field.Key) {
			return field.Key
		}
	}
	return ""
}

// equalities are the values that a filter asks fields to have; anything else it
// could ask for is an error.
func equalities(filter any) (bson.D, error) {
	asked, _ := filter.(bson.D)
	for _, field := range asked {
		operators, _ := field.Value.(bson.D)
		if strings.HasPrefix(field.Key, "$") || len(operators) > 0 && strings.HasPrefix(operators[0].Key, "$") {
			return nil, fmt.Errorf("%s: this server is a stand-in for samples and compares for equality only", field.Key)
		}
	}
	return asked, nil
}

func matches(d, want bson.D) bool {
	for _, field := range want {
		if have, has := valueOf(d, field.Key); !has || !equal(have, field.Value) {
			return false
		}
	}
	return true
}

// with is a document with some fields set.
func with(d, set bson.D) bson.D {
	out := slices.Clone(d)
	for _, field := range set {
		at := slices.IndexFunc(out, func(e bson.E) bool { return e.Key == field.Key })
		if at < 0 {
			out = append(out, field)
			continue
		}
		out[at] = field
	}
	return out
}

func valueOf(d bson.D, key string) (any, bool) {
	for _, field := range d {
		if field.Key == key {
			return field.Value, true
		}
	}
	return nil, false
}

// equal compares numbers whatever their type, and anything else by its bytes.
func equal(a, b any) bool {
	x, isNumber := whole(a)
	y, isToo := whole(b)
	if isNumber && isToo {
		return x == y
	}
	left, leftErr := bson.Marshal(bson.D{{Key: "v", Value: a}})
	right, rightErr := bson.Marshal(bson.D{{Key: "v", Value: b}})
	return leftErr == nil && rightErr == nil && string(left) == string(right)
}

func whole(value any) (int64, bool) {
	switch n := value.(type) {
	case int32:
		return int64(n), true
	case int64:
		return n, true
	case float64:
		return int64(n), n == float64(int64(n))
	}
	return 0, false
}
