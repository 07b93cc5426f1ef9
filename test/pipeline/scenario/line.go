// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// line is one parsed line. What nobody asked for is an error.
type line struct {
	kind, name string
	// words without "=", by themselves.
	words []string
	pairs map[string][]string
}

func parseLine(s string) line {
	fields := strings.Fields(s)
	l := line{kind: fields[0], pairs: map[string][]string{}}
	if len(fields) > 1 {
		l.name = fields[1]
	}
	for _, f := range fields[min(2, len(fields)):] {
		if k, v, ok := strings.Cut(f, "="); ok {
			l.pairs[k] = append(l.pairs[k], v)
		} else {
			l.words = append(l.words, f)
		}
	}
	return l
}

// all values of a key, which is then done with.
func (l *line) all(key string) []string {
	v := l.pairs[key]
	delete(l.pairs, key)
	return v
}

// one value of a key, or nothing.
func (l *line) one(key string) string {
	if v := l.all(key); len(v) > 0 {
		return v[0]
	}
	return ""
}

// flag is true when the word is there.
func (l *line) flag(word string) bool {
	for i, w := range l.words {
		if w == word {
			l.words = append(l.words[:i:i], l.words[i+1:]...)
			return true
		}
	}
	return false
}

// word is the first one that is no flag.
func (l *line) word() string {
	if len(l.words) == 0 {
		return ""
	}
	w := l.words[0]
	l.words = l.words[1:]
	return w
}

// rest is an error when something was not understood.
func (l *line) rest() error {
	for k := range l.pairs {
		return fmt.Errorf("%s %s: nothing is known about %q", l.kind, l.name, k)
	}
	if len(l.words) > 0 {
		return fmt.Errorf("%s %s: nothing is known about %q", l.kind, l.name, l.words[0])
	}
	return nil
}

// number of 16 bits.
func number(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err
}

// addressPort reads host:port, where the host may be a name.
func addressPort(s string) (string, uint16, error) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().String(), ap.Port(), nil
	}
	host, port, ok := strings.Cut(s, ":")
	if !ok {
		return "", 0, fmt.Errorf("%q is not host:port", s)
	}
	n, err := number(port)
	return host, n, err
}

// locality reads region/zone/subzone.
func locality(s string) model.Locality {
	parts := append(strings.Split(s, "/"), "", "")
	return model.Locality{Region: parts[0], Zone: parts[1], SubZone: parts[2]}
}

// protocol by name.
func protocol(s string) (model.Protocol, error) {
	for p := model.Auto; p <= model.GRPCWeb; p++ {
		if p.String() == s {
			return p, nil
		}
	}
	return 0, fmt.Errorf("there is no protocol %q", s)
}

func mode(s string) (model.MTLSMode, error) {
	switch s {
	case "", "Permissive":
		return model.Permissive, nil
	case "Strict":
		return model.Strict, nil
	case "Disable":
		return model.Disable, nil
	}
	return 0, fmt.Errorf("there is no mode %q", s)
}
