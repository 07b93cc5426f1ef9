// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"strings"
)

// MostNames that a message, or a list in a status, names.
const MostNames = 10

// Names of things in a message, MostNames of them at most, in the order given.
func Names(names []string) string {
	if len(names) <= MostNames {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:MostNames], ", "), len(names)-MostNames)
}
