// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"testing"
)

func TestStart(t *testing.T) {
	s, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}
