// SPDX-License-Identifier: Apache-2.0

package envoy

import (
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// normalize the path before routes and policies look at it, and send it on so:
// what they see must be what the application sees.
func normalize(m *hcmv3.HttpConnectionManager, mode model.PathNormalization) {
	m.NormalizePath = wrapperspb.Bool(mode != model.NormalizeNone)
	m.MergeSlashes = mode == model.NormalizeMergeSlashes || mode == model.NormalizeDecodeAndMerge
	m.PathWithEscapedSlashesAction = hcmv3.HttpConnectionManager_KEEP_UNCHANGED
	if mode == model.NormalizeDecodeAndMerge {
		m.PathWithEscapedSlashesAction = hcmv3.HttpConnectionManager_UNESCAPE_AND_FORWARD
	}
}
