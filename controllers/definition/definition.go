// SPDX-License-Identifier: Apache-2.0

// Package definition judges objects by their CustomResourceDefinition, with the API
// server's own code: who has no cluster at hand is told what one would say.
package definition

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// Definition of one version of a kind.
type Definition struct {
	Group, Version, Kind string

	structural *schema.Structural
	types      validation.SchemaValidator
	rules      *cel.Validator
}

// Read a CustomResourceDefinition; one Definition for each version that is served.
func Read(manifest []byte) ([]*Definition, error) {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(manifest, crd); err != nil {
		return nil, fmt.Errorf("read definition: %w", err)
	}
	var out []*Definition
	for i := range crd.Spec.Versions {
		v := &crd.Spec.Versions[i]
		if !v.Served || v.Schema == nil {
			continue
		}
		d, err := of(v.Schema)
		if err != nil {
			return nil, fmt.Errorf("definition %s, version %s: %w", crd.Name, v.Name, err)
		}
		d.Group, d.Version, d.Kind = crd.Spec.Group, v.Name, crd.Spec.Names.Kind
		out = append(out, d)
	}
	return out, nil
}

func of(v *apiextensionsv1.CustomResourceValidation) (*Definition, error) {
	internal := &apiextensions.CustomResourceValidation{}
	if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(v, internal, nil); err != nil {
		return nil, err
	}
	structural, err := schema.NewStructural(internal.OpenAPIV3Schema)
	if err != nil {
		return nil, err
	}
	types, _, err := validation.NewSchemaValidator(internal.OpenAPIV3Schema)
	if err != nil {
		return nil, err
	}
	return &Definition{structural: structural, types: types, rules: cel.NewValidator(structural, true, celconfig.PerCallLimit)}, nil
}

// Judge a new object, of which the defaults are filled in and what has no place
// removed: errors are what the API server refuses it for, unknown the paths of
// fields that it has no place for. Whole numbers are int64, as in unstructured.Unstructured.
func (d *Definition) Judge(ctx context.Context, object map[string]any) (errors field.ErrorList, unknown []string) {
	unknown = pruning.PruneWithOptions(object, d.structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	slices.Sort(unknown)
	defaulting.Default(object, d.structural)
	if errors = validation.ValidateCustomResource(nil, object, d.types); len(errors) > 0 {
		return errors, unknown // rules are for objects whose types are right
	}
	if d.rules != nil {
		errors, _ = d.rules.Validate(ctx, nil, d.structural, object, nil, celconfig.RuntimeCELCostBudget)
	}
	return errors, unknown
}
