// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"fmt"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// How long, and how often, the API server is asked whether it serves new definitions.
const (
	servedTimeout  = 20 * time.Second
	servedInterval = 50 * time.Millisecond
)

// served waits until the API server serves definitions.
func served(ctx context.Context, c client.Client, definitions []Item) error {
	for _, item := range definitions {
		var last string
		err := wait.PollUntilContextTimeout(ctx, servedInterval, servedTimeout, true, func(ctx context.Context) (bool, error) {
			o := &unstructured.Unstructured{}
			o.SetGroupVersionKind(item.gvk())
			if err := c.Get(ctx, client.ObjectKey{Name: item.Name}, o); err != nil {
				return false, client.IgnoreNotFound(err)
			}
			result, err := status.Compute(o)
			if err != nil {
				return false, err
			}
			last = result.Message
			return result.Status == status.CurrentStatus, nil
		})
		if err != nil {
			return fmt.Errorf("wait for %s to be served (%s): %w", item, last, err)
		}
	}
	return nil
}
