// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// FieldManager owns the fields of what is installed.
	FieldManager = "isthmesh-hub"
	// OwnerLabel on each installed object tells which member of which federation it belongs to.
	OwnerLabel = "federation.isthmesh.dev/member"

	managedBy   = "isthmesh"
	partOfLabel = "app.kubernetes.io/part-of"
	partOf      = "isthmesh"
)

// Set is everything that one owner installs in one cluster.
type Set struct {
	// Owner is written to the inventory: whoever finds another one there stops.
	Owner string
	// TakesOver tells whether an installation of another owner is this one's to
	// go on with; nil is never.
	TakesOver func(owner string) bool
	// Label is the value of OwnerLabel.
	Label string
	// Namespace of the mesh, made when it is absent; the inventory is in it.
	Namespace string
	// NamespaceLabels are added to it.
	NamespaceLabels map[string]string
	// Objects as Render made them.
	Objects []*unstructured.Unstructured
}

// Digest is equal for two sets that are installed the same.
func (s Set) Digest() (string, error) {
	h := sha256.New()
	encoder := json.NewEncoder(h)
	for _, part := range []any{s.Owner, s.Label, s.Namespace, s.NamespaceLabels} {
		if err := encoder.Encode(part); err != nil {
			return "", err
		}
	}
	for _, o := range s.Objects {
		if err := encoder.Encode(o.Object); err != nil {
			return "", fmt.Errorf("%s: %w", itemOf(o), err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// Result of Apply.
type Result struct {
	// Changed and Pruned objects, in order; both empty when there was nothing to do.
	Changed, Pruned []string
	// Inventory that holds now.
	Inventory *Inventory
}

// Apply brings a cluster to a set by server-side apply: the namespace,
// definitions, then the rest, and at last it deletes what the inventory has and
// the set doesn't. It is idempotent, and writes nothing where nothing differs.
//
// Objects of these charts that are there already, from a `helm install` say,
// are taken over. Others of the same name are a *ConflictError before anything
// is written. Definitions that somebody else installed are left as they are.
func Apply(ctx context.Context, c client.Client, set Set) (Result, error) {
	had, err := ReadInventory(ctx, c, set.Namespace)
	if err != nil {
		return Result{}, err
	}
	if had != nil && had.Owner != set.Owner && (set.TakesOver == nil || !set.TakesOver(had.Owner)) {
		return Result{}, &OwnedError{Owner: had.Owner, Namespace: set.Namespace}
	}
	if had == nil {
		had = &Inventory{Owner: set.Owner}
	}
	if had.Owner != set.Owner {
		had.Items = leave(had.Items, set)
	}
	digest, err := set.Digest()
	if err != nil {
		return Result{}, err
	}
	plan, err := look(ctx, c, set, had)
	if err != nil {
		return Result{}, err
	}
	result := Result{}
	changed, err := applyNamespace(ctx, c, set)
	if err != nil {
		return result, err
	}
	if changed {
		result.Changed = append(result.Changed, "Namespace "+set.Namespace)
	}
	items := plan.items()
	if len(without(items, had.Items)) > 0 { // so that nothing is forgotten if this stops half-way
		if err := writeInventory(ctx, c, set.Namespace, &Inventory{Owner: set.Owner, Items: union(had.Items, items)}); err != nil {
			return result, err
		}
	}
	if err := plan.apply(ctx, c, set.Label, &result); err != nil {
		return result, err
	}
	gone, kept, err := prune(ctx, c, without(had.Items, items))
	if err != nil {
		return result, err
	}
	result.Pruned = gone
	result.Inventory = &Inventory{Owner: set.Owner, Digest: digest, Items: union(kept, items)}
	if had.Owner != set.Owner || had.Digest != digest || !slices.Equal(had.Items, result.Inventory.Items) {
		if err := writeInventory(ctx, c, set.Namespace, result.Inventory); err != nil {
			return result, err
		}
	}
	return result, nil
}

// leave marks what another owner installed and the set lacks: it stays as it is.
func leave(items []Item, set Set) []Item {
	out := slices.Clone(items)
	for i, item := range out {
		wanted := slices.ContainsFunc(set.Objects, func(o *unstructured.Unstructured) bool { return itemOf(o).key() == item.key() })
		out[i].Found = item.Found || !wanted && !item.isNamespace()
	}
	return out
}

// step is one object to apply.
type step struct {
	item   Item
	object *unstructured.Unstructured
	// version of the object in the cluster, empty when it isn't there.
	version string
	// skip: somebody else's definition stays.
	skip bool
}

type plan []step

func (p plan) items() []Item {
	out := make([]Item, len(p))
	for i, s := range p {
		out[i] = s.item
	}
	return out
}

// apply does the steps in order; what comes after definitions waits for the API
// server to serve those that are new.
func (p plan) apply(ctx context.Context, c client.Client, label string, result *Result) error {
	var fresh []Item
	for _, step := range p {
		if step.skip {
			continue
		}
		if !step.item.isDefinition() {
			if err := served(ctx, c, fresh); err != nil {
				return err
			}
			fresh = nil
		}
		changed, err := applyObject(ctx, c, step, label)
		if err != nil {
			return err
		}
		if changed {
			result.Changed = append(result.Changed, step.item.String())
			if step.item.isDefinition() {
				fresh = append(fresh, step.item)
			}
		}
	}
	return served(ctx, c, fresh)
}

// look finds what is in the cluster already and whose it is, before anything is written.
func look(ctx context.Context, c client.Client, set Set, had *Inventory) (plan, error) {
	namespace, err := lookNamespace(ctx, c, set, had)
	if err != nil {
		return nil, err
	}
	out := plan{namespace}
	conflict := &ConflictError{}
	for _, o := range set.Objects {
		s := step{item: itemOf(o), object: o}
		live := s.item.metadata()
		err := c.Get(ctx, client.ObjectKeyFromObject(live), live)
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("read %s: %w", s.item, err)
		}
		s.version = live.ResourceVersion
		ours := live.Labels[partOfLabel] == partOf || contains(had.Items, s.item) && !found(had.Items, s.item)
		switch {
		case apierrors.IsNotFound(err), ours:
		case s.item.isDefinition():
			s.item.Found, s.skip = true, true
		default:
			conflict.Items = append(conflict.Items, s.item)
			conflict.add(live.ManagedFields)
		}
		out = append(out, s)
	}
	if len(conflict.Items) > 0 {
		return nil, conflict
	}
	return out, nil
}

func lookNamespace(ctx context.Context, c client.Client, set Set, had *Inventory) (step, error) {
	item := Item{Version: "v1", Kind: "Namespace", Name: set.Namespace}
	live := item.metadata()
	err := c.Get(ctx, client.ObjectKeyFromObject(live), live)
	if client.IgnoreNotFound(err) != nil {
		return step{}, fmt.Errorf("read %s: %w", item, err)
	}
	if err == nil && live.DeletionTimestamp != nil {
		return step{}, fmt.Errorf("%s is being deleted: what is installed into it comes when it is gone", item)
	}
	item.Found = err == nil && (!contains(had.Items, item) || found(had.Items, item))
	return step{item: item, skip: true}, nil // applyNamespace does it
}

func found(items []Item, item Item) bool {
	i := slices.IndexFunc(items, func(i Item) bool { return i.key() == item.key() })
	return i >= 0 && items[i].Found
}

// applyNamespace makes the namespace and adds labels to it. It doesn't take
// labels from those who set them to something else.
func applyNamespace(ctx context.Context, c client.Client, set Set) (bool, error) {
	o := &unstructured.Unstructured{}
	o.SetAPIVersion("v1")
	o.SetKind("Namespace")
	o.SetName(set.Namespace)
	o.SetLabels(set.NamespaceLabels)
	live := itemOf(o).metadata()
	if err := client.IgnoreNotFound(c.Get(ctx, client.ObjectKeyFromObject(live), live)); err != nil {
		return false, fmt.Errorf("read Namespace %s: %w", set.Namespace, err)
	}
	err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), client.FieldOwner(FieldManager))
	if apierrors.IsConflict(err) {
		return false, fmt.Errorf("Namespace %s has a label that is set to something else: %w", set.Namespace, err)
	}
	if err != nil {
		return false, fmt.Errorf("apply Namespace %s: %w", set.Namespace, err)
	}
	return o.GetResourceVersion() != live.ResourceVersion, nil
}

func applyObject(ctx context.Context, c client.Client, s step, label string) (changed bool, err error) {
	o := s.object.DeepCopy()
	labels := o.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[OwnerLabel] = label
	labels[partOfLabel] = partOf
	o.SetLabels(labels)
	err = c.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), client.FieldOwner(FieldManager), client.ForceOwnership)
	if err != nil {
		return false, fmt.Errorf("apply %s: %w", s.item, err)
	}
	return o.GetResourceVersion() != s.version, nil
}

// prune deletes what the set no longer has. Definitions and namespaces stay:
// with them would go what others made of them.
func prune(ctx context.Context, c client.Client, items []Item) (gone []string, kept []Item, err error) {
	for _, item := range slices.Backward(items) {
		if item.isDefinition() || item.isNamespace() || item.Found {
			kept = append(kept, item)
			continue
		}
		err := c.Delete(ctx, item.metadata(), client.PropagationPolicy("Background"))
		if client.IgnoreNotFound(err) != nil {
			return gone, nil, fmt.Errorf("delete %s, which is no longer wanted: %w", item, err)
		}
		gone = append(gone, item.String())
	}
	slices.Reverse(kept)
	return gone, kept, nil
}
