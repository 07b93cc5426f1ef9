// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConflictError names objects that are in the cluster and were not made by
// these charts.
type ConflictError struct {
	Items []Item
	// Managers of their fields, sorted.
	Managers []string
}

// Error names the objects and who made them.
func (e *ConflictError) Error() string {
	made := ""
	if len(e.Managers) > 0 {
		made = ", made by " + strings.Join(e.Managers, ", ")
	}
	return fmt.Sprintf("the cluster has %s already%s: remove what they belong to, such as another mesh, and it is installed then", names(e.Items), made)
}

func (e *ConflictError) add(fields []metav1.ManagedFieldsEntry) {
	for _, f := range fields {
		if !slices.Contains(e.Managers, f.Manager) {
			e.Managers = append(e.Managers, f.Manager)
		}
	}
	slices.Sort(e.Managers)
}

// OwnedError tells that the cluster is installed by somebody else.
type OwnedError struct{ Owner, Namespace string }

// Error names the owner and how to take over.
func (e *OwnedError) Error() string {
	return fmt.Sprintf("the cluster is installed by %s: delete it there, or run `kubectl delete configmap %s -n %s` in the cluster to take it over", e.Owner, InventoryName, e.Namespace)
}

// gone is true when the kind of an object is not served any more.
func gone(err error) bool { return meta.IsNoMatchError(err) }
