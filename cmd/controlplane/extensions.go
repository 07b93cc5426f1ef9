// SPDX-License-Identifier: Apache-2.0

package main

// EnvoyFilters may speak of any extension of Envoy.
import _ "github.com/isthmesh/isthmesh/controlplane/patch/extensions"
