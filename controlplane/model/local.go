// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"
	"strings"
)

// LocalHosts say of which services the endpoints in other members are used
// (meshConfig.serviceSettings clusterLocal).
type LocalHosts []LocalHost

// LocalHost is a full hostname, "*", or "*." and the end of names.
type LocalHost struct {
	Host string
	// Local: only this member's own endpoints are called.
	Local bool
}

// Has is true for hosts whose callers stay in this member. The most particular name
// decides, and of two that are the same the last one.
func (l LocalHosts) Has(h Hostname) bool {
	best, local := -1, false
	for _, o := range l {
		rank := len(o.Host)
		switch suffix, wild := strings.CutPrefix(o.Host, "*"); {
		case !wild && o.Host == string(h):
			return l.last(o.Host)
		case !wild || !strings.HasSuffix(string(h), suffix):
			continue
		}
		if rank >= best {
			best, local = rank, o.Local
		}
	}
	return local
}

// last of what is said of a name.
func (l LocalHosts) last(host string) bool {
	for _, o := range slices.Backward(l) {
		if o.Host == host {
			return o.Local
		}
	}
	return false
}
