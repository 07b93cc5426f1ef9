// SPDX-License-Identifier: Apache-2.0

// Package validate tells who writes an object of the Istio API what the mesh
// will make of it, before it is stored: an object that can't be used is
// refused, and what is not honoured yet is a warning, so that nothing is
// ignored in silence. It stands before the flow and asks ingest itself, so
// that both always say the same.
package validate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	security "istio.io/client-go/pkg/apis/security/v1"

	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Verdict on an object. It is refused when Refused isn't empty.
type Verdict struct {
	// Refused are the reasons not to store the object, each with its field and mend.
	Refused []string
	// Warnings go to the user who stores it.
	Warnings []string
}

// Object judges an object of a group and kind as JSON, in a mesh of these settings.
func Object(group, kind string, object []byte, settings model.Settings) Verdict {
	if group != "security.istio.io" || kind != "PeerAuthentication" {
		return Verdict{Warnings: []string{fmt.Sprintf("%s.%s is stored, and has no effect: this version of the mesh doesn't act on objects of this kind", kind, group)}}
	}
	var policy security.PeerAuthentication
	decoder := json.NewDecoder(bytes.NewReader(object))
	if err := decoder.Decode(&policy); err != nil {
		return Verdict{Refused: []string{fmt.Sprintf("PeerAuthentication can't be read: %v", err)}}
	}
	built := ingest.Build(ingest.Input{PeerAuthentications: []*security.PeerAuthentication{&policy}, Settings: settings}, nil)
	var v Verdict
	for _, p := range built.Mesh.Problems {
		if p.Kind != kind {
			continue
		}
		text := p.Message
		if p.Field != "" {
			text = p.Field + ": " + text
		}
		if p.Reason == ingest.NotSupported {
			v.Warnings = append(v.Warnings, text)
		} else {
			v.Refused = append(v.Refused, text)
		}
	}
	slices.Sort(v.Refused)
	slices.Sort(v.Warnings)
	return v
}
