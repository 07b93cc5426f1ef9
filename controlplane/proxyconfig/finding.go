// SPDX-License-Identifier: Apache-2.0

package proxyconfig

// The reasons of findings, as Problems have them.
const (
	// Invalid: the value can't be used.
	Invalid = "Invalid"
	// NotSupported: the field means something that proxies here do not do.
	NotSupported = "NotSupported"
	// NoEffect: the field can be used, and changes nothing where it stands.
	NoEffect = "NoEffect"
)

// Finding is a field that is not honoured as it is written.
type Finding struct {
	// Field is its path, such as "proxyMetadata[TRUST_DOMAIN]".
	Field string
	// Reason is one of the above; Message says what holds instead and what mends it.
	Reason, Message string
}
