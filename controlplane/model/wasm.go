// SPDX-License-Identifier: Apache-2.0

package model

// WasmPlugin is a filter that a WebAssembly module provides (WasmPlugin of
// extensions.istio.io). Its pointer changes when anything in it changes.
type WasmPlugin struct {
	Origin
	Target Target
	// Network filters see the bytes of connections, the others see requests.
	Network bool
	// PluginName chooses a plugin within the module (its root ID); it may be empty.
	PluginName string
	// Configuration is handed to the plugin: a JSON object, or empty.
	Configuration string
	Phase         PluginPhase
	// Priority within a phase: the highest goes first.
	Priority int32
	Fail     FailStrategy
	// Environment of the module's machine, sorted by name.
	Environment []Header
	// HostEnvironment are the variables of the proxy that the module gets too, sorted.
	HostEnvironment []string
	// Match: one must match; none is all traffic.
	Match []PluginMatch
	// File in the proxy's container that holds the module; then Module is nil.
	File string
	// Module that was fetched; nil while there is none, and then Fail says what
	// becomes of the traffic.
	Module *WasmModule
	// Invalid says why the plugin can't be had; it then has neither File nor Module.
	Invalid string
}

// WasmModule is the code of a module. It is immutable; two with equal SHA256
// have equal code.
type WasmModule struct {
	// SHA256 of Code, in hex.
	SHA256 string
	Code   []byte
}

// PluginPhase says where in the chain of filters a plugin stands.
type PluginPhase uint8

// The phases. The zero value leaves it to the mesh: last, after PhaseStats.
const (
	PhaseUnspecified PluginPhase = iota
	// PhaseAuthN is before the mesh asks who calls, PhaseAuthZ between that and
	// the question whether they may, PhaseStats after both.
	PhaseAuthN
	PhaseAuthZ
	PhaseStats
)

// FailStrategy says what becomes of traffic when a plugin fails, or isn't there.
type FailStrategy uint8

// The strategies.
const (
	// FailClose answers 503, or closes the connection.
	FailClose FailStrategy = iota
	// FailOpen goes on without the plugin.
	FailOpen
	// FailReload makes a new machine after a failure of the running one, and is
	// FailClose for everything else.
	FailReload
)

// PluginMatch chooses traffic; all that it says must hold.
type PluginMatch struct {
	Mode PluginMode
	// Ports that are called, or, of a server, that it listens on; none is every port.
	Ports []uint16
}

// PluginMode is the side of a call.
type PluginMode uint8

// The modes. A gateway is a client.
const (
	ClientAndServer PluginMode = iota
	Client
	Server
)
