// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// DeleteOptions say what goes with what was installed.
type DeleteOptions struct {
	// Owner of the inventory; another's is a *OwnedError.
	Owner string
	// Definitions go too, and with them all objects of their kinds.
	Definitions bool
	// Secrets, by name, and ConfigMaps, by the start of it, in the mesh's
	// namespace that the mesh made by itself, such as its CA. They matter where
	// the namespace stays.
	Secrets, ConfigMapPrefixes []string
	// RootConfigMap, by this name, is deleted in all namespaces.
	RootConfigMap string
}

// Left is what Delete leaves in the cluster.
type Left struct {
	// Going are deleted and not gone yet: call Delete again.
	Going []string
	// Kept stay on purpose: definitions, and what was there before.
	Kept []string
}

// Delete takes away what the inventory of a namespace names, in the reverse of
// the order in which it was applied. It doesn't wait: while Left.Going has
// something, call it again. What is not there is no error; without an
// inventory nothing is done.
func Delete(ctx context.Context, c client.Client, namespace string, opts DeleteOptions) (Left, error) {
	inventory, err := ReadInventory(ctx, c, namespace)
	if err != nil || inventory == nil {
		return Left{}, err
	}
	if inventory.Owner != opts.Owner {
		return Left{}, &OwnedError{Owner: inventory.Owner, Namespace: namespace}
	}
	left := Left{}
	dropNamespace := false
	othersIn := slices.ContainsFunc(inventory.Items, func(i Item) bool { return i.Found && i.Namespace == namespace })
	for _, item := range slices.Backward(inventory.Items) {
		switch {
		case item.isNamespace() && item.Name == namespace && !item.Found && !othersIn:
			dropNamespace = true
		case item.Found, item.isNamespace(), item.isDefinition() && !opts.Definitions:
			left.Kept = append(left.Kept, item.String())
		default:
			going, err := deleteItem(ctx, c, item)
			if err != nil {
				return left, err
			}
			if going {
				left.Going = append(left.Going, item.String())
			}
		}
	}
	slices.Sort(left.Kept)
	if len(left.Going) > 0 {
		return left, nil
	}
	if err := deleteOwnWork(ctx, c, namespace, opts); err != nil {
		return left, err
	}
	if dropNamespace {
		item := Item{Version: "v1", Kind: "Namespace", Name: namespace}
		going, err := deleteItem(ctx, c, item)
		if going {
			left.Going = append(left.Going, item.String())
		}
		return left, err
	}
	_, err = deleteItem(ctx, c, Item{Version: "v1", Kind: "ConfigMap", Namespace: namespace, Name: InventoryName})
	return left, err
}

// deleteItem deletes an object and tells whether it is still there.
func deleteItem(ctx context.Context, c client.Client, item Item) (going bool, err error) {
	o := item.metadata()
	if err := c.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
		if client.IgnoreNotFound(err) == nil || gone(err) {
			return false, nil
		}
		return false, fmt.Errorf("read %s: %w", item, err)
	}
	if o.DeletionTimestamp != nil {
		return true, nil
	}
	propagation := metav1.DeletePropagationBackground
	if item.Kind == "Deployment" { // is gone when its pods are
		propagation = metav1.DeletePropagationForeground
	}
	err = c.Delete(ctx, item.metadata(), client.PropagationPolicy(propagation))
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("delete %s: %w", item, err)
	}
	return err == nil, nil
}

// deleteOwnWork deletes what the mesh itself made.
func deleteOwnWork(ctx context.Context, c client.Client, namespace string, opts DeleteOptions) error {
	var items []Item
	for _, name := range opts.Secrets {
		items = append(items, Item{Version: "v1", Kind: "Secret", Namespace: namespace, Name: name})
	}
	if len(opts.ConfigMapPrefixes) > 0 {
		made, err := configMaps(ctx, c, client.InNamespace(namespace))
		if err != nil {
			return err
		}
		for _, item := range made {
			if slices.ContainsFunc(opts.ConfigMapPrefixes, func(p string) bool { return strings.HasPrefix(item.Name, p) }) {
				items = append(items, item)
			}
		}
	}
	if opts.RootConfigMap != "" {
		made, err := configMaps(ctx, c, client.MatchingFields{"metadata.name": opts.RootConfigMap})
		if err != nil {
			return err
		}
		items = append(items, made...)
	}
	for _, item := range items {
		err := c.Delete(ctx, item.metadata())
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete %s: %w", item, err)
		}
	}
	return nil
}

func configMaps(ctx context.Context, c client.Client, which client.ListOption) ([]Item, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "ConfigMapList"})
	if err := c.List(ctx, list, which); err != nil {
		return nil, fmt.Errorf("list ConfigMaps: %w", err)
	}
	out := make([]Item, len(list.Items))
	for i, m := range list.Items {
		out[i] = Item{Version: "v1", Kind: "ConfigMap", Namespace: m.Namespace, Name: m.Name}
	}
	return out, nil
}
