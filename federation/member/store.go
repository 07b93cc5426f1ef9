// SPDX-License-Identifier: Apache-2.0

package member

import "context"

// Store keeps the last imports, as opaque bytes, across restarts.
type Store interface {
	// Load returns what the last Save that finished was given. Nil without an
	// error means that nothing was ever saved; an error, that it can't be read.
	Load(ctx context.Context) ([]byte, error)
	// Save replaces it. A crash half-way leaves what was there before.
	Save(ctx context.Context, snapshot []byte) error
}
