// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// InventoryName is the ConfigMap, in the namespace of the mesh, that tells what was installed.
	InventoryName = "isthmesh-inventory"

	inventoryKey = "inventory.json"
)

// Inventory is what one owner installed in one cluster.
type Inventory struct {
	// Owner is who keeps it: the hub's cluster, and the member there. Another
	// one leaves it alone.
	Owner string `json:"owner"`
	// Digest of the objects as they were last applied in full.
	Digest string `json:"digest,omitempty"`
	// Items, sorted in the order in which they are applied.
	Items []Item `json:"items"`
}

// Item names an object.
type Item struct {
	Group     string `json:"group,omitempty"`
	Version   string `json:"version"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Found: it was there before and stays when everything else goes.
	Found bool `json:"found,omitempty"`
}

// String is how people name the object.
func (i Item) String() string {
	if i.Namespace == "" {
		return i.Kind + " " + i.Name
	}
	return i.Kind + " " + i.Namespace + "/" + i.Name
}

func (i Item) gvk() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: i.Group, Version: i.Version, Kind: i.Kind}
}

// key is the same for two versions of an object's kind.
func (i Item) key() Item {
	return Item{Group: i.Group, Kind: i.Kind, Namespace: i.Namespace, Name: i.Name}
}

// metadata is the object to read or delete.
func (i Item) metadata() *metav1.PartialObjectMetadata {
	o := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: i.Namespace, Name: i.Name}}
	o.SetGroupVersionKind(i.gvk())
	return o
}

func (i Item) isDefinition() bool { return i.Kind == "CustomResourceDefinition" }

func (i Item) isNamespace() bool { return i.Group == "" && i.Kind == "Namespace" }

func itemOf(o *unstructured.Unstructured) Item {
	gvk := o.GroupVersionKind()
	return Item{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: o.GetNamespace(), Name: o.GetName()}
}

// ReadInventory reads what is installed; nil when nothing is.
func ReadInventory(ctx context.Context, c client.Client, namespace string) (*Inventory, error) {
	var m corev1.ConfigMap
	err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: InventoryName}, &m)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ConfigMap %s/%s: %w", namespace, InventoryName, err)
	}
	inventory := &Inventory{}
	if err := json.Unmarshal([]byte(m.Data[inventoryKey]), inventory); err != nil {
		return nil, fmt.Errorf("ConfigMap %s/%s, key %s: %w: delete the ConfigMap, and it is written again", namespace, InventoryName, inventoryKey, err)
	}
	return inventory, nil
}

func writeInventory(ctx context.Context, c client.Client, namespace string, inventory *Inventory) error {
	raw, err := json.Marshal(inventory)
	if err != nil {
		return err
	}
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       "ConfigMap",
		"metadata": map[string]any{
			"namespace": namespace,
			"name":      InventoryName,
			"labels":    map[string]any{partOfLabel: partOf},
		},
		"data": map[string]any{inventoryKey: string(raw)},
	}}
	if err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), client.FieldOwner(FieldManager), client.ForceOwnership); err != nil {
		return fmt.Errorf("write ConfigMap %s/%s: %w", namespace, InventoryName, err)
	}
	return nil
}

// union is all items of both, in b's order first; those of a that b lacks follow.
func union(a, b []Item) []Item {
	out := slices.Clone(b)
	for _, item := range a {
		if !contains(b, item) {
			out = append(out, item)
		}
	}
	return out
}

// without is the items of a that b lacks.
func without(a, b []Item) []Item {
	return slices.DeleteFunc(slices.Clone(a), func(i Item) bool { return contains(b, i) })
}

func contains(items []Item, item Item) bool {
	return slices.ContainsFunc(items, func(i Item) bool { return i.key() == item.key() })
}

// names lists items as people read them.
func names(items []Item) string {
	out := make([]string, len(items))
	for i, item := range items {
		out[i] = item.String()
	}
	return strings.Join(out, ", ")
}
