// SPDX-License-Identifier: Apache-2.0

// Package fixedseed makes the property tests that import it draw the same
// values in every run, so that a change is judged by itself and not by luck.
// New ground is broken on purpose: `make explore`, or -rapid.seed=0.
package fixedseed

import (
	"flag"

	_ "pgregory.net/rapid" // registers the flag
)

func init() {
	if err := flag.Set("rapid.seed", "1"); err != nil {
		panic(err)
	}
}
