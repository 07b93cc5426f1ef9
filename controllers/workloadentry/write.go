// SPDX-License-Identifier: Apache-2.0

package workloadentry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	networking "istio.io/client-go/pkg/apis/networking/v1"
	client "istio.io/client-go/pkg/clientset/versioned/typed/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/isthmesh/isthmesh/controlplane/registration"
)

// fieldManager owns what is written.
const fieldManager = "isthmesh-machines"

// errChanged: somebody else was faster, so it is to be decided again.
var errChanged = errors.New("the WorkloadEntry was changed meanwhile")

// read an entry; nil when it isn't there.
func read(ctx context.Context, api client.NetworkingV1Interface, key registration.Key) (*networking.WorkloadEntry, error) {
	e, err := api.WorkloadEntries(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read WorkloadEntry %s/%s: %w", key.Namespace, key.Name, err)
	}
	return e, nil
}

// write a change of an entry that is just so; it returns the entry as it is then,
// nil when it is gone. Where it isn't so any more nothing is written.
func write(ctx context.Context, api client.NetworkingV1Interface, e *networking.WorkloadEntry, c registration.Change) (*networking.WorkloadEntry, error) {
	if c.Create != nil {
		out, err := api.WorkloadEntries(c.Create.Namespace).Create(ctx, c.Create, metav1.CreateOptions{FieldManager: fieldManager})
		return out, outcome("create", c.Create, err)
	}
	entries := api.WorkloadEntries(e.Namespace)
	if c.Delete {
		err := entries.Delete(ctx, e.Name, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &e.UID, ResourceVersion: &e.ResourceVersion},
		})
		return nil, outcome("delete", e, err)
	}
	patch := map[string]any{}
	meta := map[string]any{"uid": e.UID, "resourceVersion": e.ResourceVersion}
	patch["metadata"] = meta
	var parts []string
	if c.Annotations != nil {
		annotations := map[string]any{}
		for name, value := range c.Annotations {
			annotations[name] = value
			if value == "" {
				annotations[name] = nil
			}
		}
		meta["annotations"] = annotations
	} else {
		patch["status"] = map[string]any{"conditions": c.Conditions}
		parts = []string{"status"}
	}
	body, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("patch of WorkloadEntry %s/%s: %w", e.Namespace, e.Name, err)
	}
	out, err := entries.Patch(ctx, e.Name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: fieldManager}, parts...)
	return out, outcome("patch", e, err)
}

// outcome of a write.
func outcome(verb string, e *networking.WorkloadEntry, err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err) && verb != "create":
		return errChanged
	}
	return fmt.Errorf("%s WorkloadEntry %s/%s: %w", verb, e.Namespace, e.Name, err)
}
