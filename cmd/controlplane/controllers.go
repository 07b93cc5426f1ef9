// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/isthmesh/isthmesh/controllers/rootcert"
	"github.com/isthmesh/isthmesh/controllers/webhookcert"
	"github.com/isthmesh/isthmesh/federation/trust"
)

// runControllers runs all that this control plane writes to its cluster. Every
// replica does: what they write is the same, and writing it twice changes nothing.
func runControllers(ctx context.Context, m meshParts) error {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(m.cfg, ctrl.Options{
		Scheme:  scheme,
		Metrics: metricsserver.Options{BindAddress: "0"},
		// Names tell metrics apart, which aren't served; several control planes in one process have the same.
		Controller: config.Controller{SkipNameValidation: new(true)},
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{
			&corev1.ConfigMap{}: {Field: fields.OneTermEqualSelector("metadata.name", rootcert.Name)},
		}},
	})
	if err != nil {
		return fmt.Errorf("make the controllers: %w", err)
	}
	roots := func() string { return string(trust.EncodeBundle(m.auth.Roots())) }
	if err := (&rootcert.Reconciler{Client: mgr.GetClient(), Roots: roots, Changed: m.forConfigMaps}).SetupWithManager(mgr); err != nil {
		return fmt.Errorf("controller of ConfigMap %s: %w", rootcert.Name, err)
	}
	hooks := &webhookcert.Reconciler{
		Client: mgr.GetClient(), Service: serviceName(m.o.revision), Namespace: m.o.namespace, Roots: roots, Changed: m.forWebhooks,
	}
	if err := hooks.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("controller of webhook certificates: %w", err)
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("controllers: %w", err)
	}
	return ctx.Err()
}

// serviceName of a revision's control plane.
func serviceName(revision string) string {
	if revision == "" || revision == "default" {
		return "istiod"
	}
	return "istiod-" + revision
}
