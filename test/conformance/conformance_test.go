// SPDX-License-Identifier: Apache-2.0

//go:build conformance

// Package conformance runs the Gateway API's public conformance suite, as it is,
// against the cluster that KUBECONFIG names. `make conformance` makes that
// cluster; options.yaml says what is claimed, which is everything.
package conformance

import (
	"testing"

	"sigs.k8s.io/gateway-api/conformance"
)

func TestConformance(t *testing.T) { conformance.RunConformance(t) }
