// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"

	"github.com/isthmesh/isthmesh/controlplane/envoy"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// gatewayGroup is the API group of Gateway and GatewayClass.
const gatewayGroup = "gateway.networking.k8s.io"

// The labels by which a pod says which Gateway of the Gateway API it serves, and of which class.
const (
	LabelGatewayName  = "gateway.networking.k8s.io/gateway-name"
	LabelGatewayClass = "gateway.networking.k8s.io/gateway-class-name"
)

// Guarded is what policies are chosen for: a workload, or a gateway.
type Guarded struct {
	Namespace string
	Labels    map[string]string
	// Gateway and Class are the names of the Gateway API's Gateway that the proxy
	// serves, and of its GatewayClass; empty when it serves none.
	Gateway, Class string
	// Inline: the filters stand in listeners whole, because somebody patches them.
	Inline bool
}

// Chosen are the policies that hold somewhere, oldest first.
type Chosen struct {
	Authorizations  []*model.Authorization
	Authentications []*model.RequestAuthentication

	inline bool
	made   made
}

// None holds where no policy does.
var None = &Chosen{}

var noneInline = &Chosen{inline: true}

// Choose the policies of a mesh that hold for g. Prev is returned when it holds
// the same policies, so that its pointer may be a memo's key; it may be nil.
func Choose(m *model.Mesh, g Guarded, prev *Chosen) *Chosen {
	root := m.Settings.Root()
	c := &Chosen{inline: g.Inline}
	for _, a := range m.Authorizations {
		if g.Under(root, a.Namespace, a.Target) {
			c.Authorizations = append(c.Authorizations, a)
		}
	}
	for _, a := range m.Authentications {
		if g.Under(root, a.Namespace, a.Target) {
			c.Authentications = append(c.Authentications, a)
		}
	}
	return c.after(prev)
}

// after is c, or prev when that is the same.
func (c *Chosen) after(prev *Chosen) *Chosen {
	switch {
	case c.Same(prev):
		return prev
	case c.Empty() && c.inline:
		return noneInline
	case c.Empty():
		return None
	}
	c.made.before = prev.configs()
	return c
}

// configs that were made of it; nil for none yet.
func (c *Chosen) configs() *envoy.Layer {
	switch {
	case c == nil:
		return nil
	case c.Empty():
		return nothing().Configs
	}
	return c.made.configs()
}

// Same is true when both hold the same policies, in the same way.
func (c *Chosen) Same(as *Chosen) bool {
	return as != nil && c.inline == as.inline && slices.Equal(c.Authorizations, as.Authorizations) && slices.Equal(c.Authentications, as.Authentications)
}

// Empty is true when nothing holds.
func (c *Chosen) Empty() bool { return len(c.Authorizations) == 0 && len(c.Authentications) == 0 }

// Under is true when what a namespace has with this target applies; root is the
// root namespace.
func (g Guarded) Under(root, namespace string, t model.Target) bool {
	if len(t.Refs) == 0 {
		return (namespace == g.Namespace || namespace == root) && t.Selector.Select(g.Labels)
	}
	// Only a policy that can't be had has both.
	if t.Selector != "" && (namespace == g.Namespace || namespace == root) && t.Selector.Select(g.Labels) {
		return true
	}
	for _, ref := range t.Refs {
		switch ref.Group + "/" + ref.Kind {
		case gatewayGroup + "/GatewayClass":
			if ref.Name == g.Class && g.Class != "" && namespace == root {
				return true
			}
		case "/Service", "networking.istio.io/ServiceEntry":
			// At waypoints only, as Istio has it; ingest tells.
		default:
			// A Gateway, or a kind that is misspelt: such a policy can't be had, and
			// denies at what it may have meant.
			if ref.Name == g.Gateway && g.Gateway != "" && namespace == g.Namespace {
				return true
			}
		}
	}
	return false
}

// Enforced is the first policy that decides on calls; nil when none does.
func (c *Chosen) Enforced() *model.Authorization {
	if c == nil {
		return nil
	}
	for _, a := range c.Authorizations {
		if !a.DryRun && a.Action != model.Audit {
			return a
		}
	}
	return nil
}

// acting are the policies of one action, without dry runs.
func (c *Chosen) acting(action model.AuthorizationAction) []*model.Authorization {
	return c.filter(action, false)
}

// trying are the dry runs of one action.
func (c *Chosen) trying(action model.AuthorizationAction) []*model.Authorization {
	return c.filter(action, true)
}

func (c *Chosen) filter(action model.AuthorizationAction, dryRun bool) []*model.Authorization {
	var out []*model.Authorization
	for _, a := range c.Authorizations {
		if a.Action == action && a.DryRun == dryRun {
			out = append(out, a)
		}
	}
	return out
}
