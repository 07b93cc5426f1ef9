// SPDX-License-Identifier: Apache-2.0

package hub_test

import (
	"context"
	"sync"
)

// memoryStore keeps imports as long as the test runs.
type memoryStore struct {
	mu    sync.Mutex
	bytes []byte
}

func (s *memoryStore) Load(context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes, nil
}

func (s *memoryStore) Save(_ context.Context, b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes = b
	return nil
}
