// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"slices"

	meshapi "istio.io/api/mesh/v1alpha1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// What Envoy knows of TLS 1.2's cipher suites and of curves; it refuses a
// configuration with any other.
var (
	cipherSuites = []string{
		"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
		"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305",
		"ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA",
		"AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA",
	}
	curves = []string{"P-256", "P-384", "P-521", "X25519", "X25519MLKEM768"}
)

// versions of TLS by MeshConfig's words; 0 leaves the default.
var versions = map[meshapi.MeshConfig_TLSConfig_TLSProtocol]uint16{
	meshapi.MeshConfig_TLSConfig_TLSV1_2: 0x0303,
	meshapi.MeshConfig_TLSConfig_TLSV1_3: 0x0304,
}

// limitsOf reads a TLSConfig of MeshConfig.
func limitsOf(given *meshapi.MeshConfig_TLSConfig, report func(field, reason, format string, args ...any)) model.TLSLimits {
	out := model.TLSLimits{MinVersion: versions[given.GetMinProtocolVersion()]}
	for _, name := range given.GetCipherSuites() {
		if slices.Contains(cipherSuites, name) {
			out.CipherSuites = append(out.CipherSuites, name)
		} else {
			report("cipherSuites", Invalid, "%q is no cipher suite that Envoy knows for TLS 1.2 and is left out; correct it", name)
		}
	}
	for _, name := range given.GetEcdhCurves() {
		if slices.Contains(curves, name) {
			out.Curves = append(out.Curves, name)
		} else {
			report("ecdhCurves", Invalid, "%q is no curve that Envoy knows and is left out; correct it", name)
		}
	}
	return out
}
