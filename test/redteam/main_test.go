// SPDX-License-Identifier: Apache-2.0

package redteam

import (
	"testing"

	"github.com/isthmesh/isthmesh/test/goroutines"
)

func TestMain(m *testing.M) { goroutines.Verify(m) }
