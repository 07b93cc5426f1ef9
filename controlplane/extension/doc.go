// SPDX-License-Identifier: Apache-2.0

// Package extension turns WasmPlugins into Envoy's filters: each is discovered
// by name in the listeners that it is for, and its configuration, with the
// module's code, is a resource of its own. So a change of a plugin drains no
// listener. It comes after the translators, whose listeners it adds to, and
// before patch; snapshot calls it and remembers the results. Pure.
package extension
