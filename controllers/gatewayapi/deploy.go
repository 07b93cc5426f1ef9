// SPDX-License-Identifier: Apache-2.0

package gatewayapi

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmesh/isthmesh/controlplane/ingest/gatewayapi"
)

// fieldManager owns the fields of what is made for Gateways.
const fieldManager = "isthmesh-gateways"

// deployer makes the proxies of Gateways.
type deployer struct {
	client   client.Client
	platform func() (Platform, error)
	// made is what each Gateway's proxies were last made of.
	made map[gatewayapi.Object]made
}

type made struct {
	deployment *gatewayapi.Deployment
	platform   Platform
}

func (p *deployer) forget() { p.made = map[gatewayapi.Object]made{} }

// all Gateways' proxies; failed tells why those of a Gateway can't be made. The
// error is of what is worth another try.
func (p *deployer) all(ctx context.Context, gateways []*gatewayapi.GatewayStatus, seen *cluster) (failed map[gatewayapi.Object]string, err error) {
	failed = map[gatewayapi.Object]string{}
	var again []error
	current := map[gatewayapi.Object]bool{}
	platform, err := p.platform()
	if err != nil {
		return nil, err
	}
	for _, g := range gateways {
		of := nameOnly(g.Object)
		current[of] = true
		d := g.Deployment
		if d == nil || d.Existing != "" {
			continue
		}
		now := made{d, platform}
		if reflect.DeepEqual(p.made[of], now) && seen.complete(d) {
			continue
		}
		err := p.one(ctx, d, platform)
		if err == nil {
			p.made[of] = now
			continue
		}
		if lasts(err) {
			failed[of] = err.Error()
		}
		again = append(again, fmt.Errorf("proxies of Gateway %s/%s: %w", d.Namespace, d.Gateway, err))
	}
	for of := range p.made {
		if !current[of] {
			delete(p.made, of)
		}
	}
	return failed, errors.Join(again...)
}

// nameOnly leaves the generation away: a Gateway is deployed anew when what is
// deployed differs.
func nameOnly(o gatewayapi.Object) gatewayapi.Object {
	o.Generation = 0
	return o
}

// one Gateway's objects, by server-side apply. An object of that name that is
// not the Gateway's is left alone, or whoever may write Gateways could overwrite
// whatever there is.
func (p *deployer) one(ctx context.Context, d *gatewayapi.Deployment, platform Platform) error {
	objects, err := Render(d, platform)
	if err != nil {
		return fmt.Errorf("%w: %w", errRender, err)
	}
	for _, o := range objects {
		there := &unstructured.Unstructured{}
		there.SetGroupVersionKind(o.GroupVersionKind())
		err := p.client.Get(ctx, client.ObjectKeyFromObject(o), there)
		if err == nil && !ownedBy(there, d) {
			return fmt.Errorf("%s %s %w: rename one of them", o.GetKind(), o.GetName(), errForeign)
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	for _, o := range objects {
		if err := p.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), client.FieldOwner(fieldManager), client.ForceOwnership); err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

var (
	errForeign = errors.New("exists already and is not this Gateway's")
	errRender  = errors.New("the gateway chart can't be rendered")
)

// lasts is true for what another try won't mend: who wrote the Gateway must know.
func lasts(err error) bool {
	return errors.Is(err, errForeign) || errors.Is(err, errRender) ||
		apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err)
}

func ownedBy(o metav1.Object, d *gatewayapi.Deployment) bool {
	return slices.ContainsFunc(o.GetOwnerReferences(), func(r metav1.OwnerReference) bool { return r.UID == types.UID(d.UID) })
}

// cluster is what is seen of the proxies: the Services and Deployments that
// this controller made, and Services that it was pointed at.
type cluster struct {
	services    map[types.NamespacedName]*corev1.Service
	deployments map[types.NamespacedName]*appsv1.Deployment
}

// complete is true when what a Gateway needs is there.
func (c *cluster) complete(d *gatewayapi.Deployment) bool {
	n := types.NamespacedName{Namespace: d.Namespace, Name: objectName(d)}
	return c.services[n] != nil && c.deployments[n] != nil
}
