// SPDX-License-Identifier: Apache-2.0

package policy

import (
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
)

type (
	permission = rbacv3.Permission
	principal  = rbacv3.Principal
)

// Envoy's permissions and principals are two types of one shape; these are how
// they are put together.

func anyPermission() *permission {
	return &permission{Rule: &rbacv3.Permission_Any{Any: true}}
}

func notPermission(p *permission) *permission {
	return &permission{Rule: &rbacv3.Permission_NotRule{NotRule: p}}
}

func allPermissions(ps ...*permission) *permission {
	switch len(ps) {
	case 0:
		return anyPermission()
	case 1:
		return ps[0]
	}
	return &permission{Rule: &rbacv3.Permission_AndRules{AndRules: &rbacv3.Permission_Set{Rules: ps}}}
}

func onePermission(ps ...*permission) *permission {
	switch len(ps) {
	case 0:
		return notPermission(anyPermission())
	case 1:
		return ps[0]
	}
	return &permission{Rule: &rbacv3.Permission_OrRules{OrRules: &rbacv3.Permission_Set{Rules: ps}}}
}

func anyPrincipal() *principal {
	return &principal{Identifier: &rbacv3.Principal_Any{Any: true}}
}

func notPrincipal(p *principal) *principal {
	return &principal{Identifier: &rbacv3.Principal_NotId{NotId: p}}
}

func allPrincipals(ps ...*principal) *principal {
	switch len(ps) {
	case 0:
		return anyPrincipal()
	case 1:
		return ps[0]
	}
	return &principal{Identifier: &rbacv3.Principal_AndIds{AndIds: &rbacv3.Principal_Set{Ids: ps}}}
}

func onePrincipal(ps ...*principal) *principal {
	switch len(ps) {
	case 0:
		return notPrincipal(anyPrincipal())
	case 1:
		return ps[0]
	}
	return &principal{Identifier: &rbacv3.Principal_OrIds{OrIds: &rbacv3.Principal_Set{Ids: ps}}}
}
