// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/util/validation"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Reasons why a service is refused, for machines.
const (
	ReasonMalformed = "Malformed"
	ReasonTooLarge  = "TooLarge"
	ReasonAddress   = "AddressNotAllowed"
	ReasonAccount   = "ServiceAccountNotAllowed"
	ReasonNamespace = "NamespaceNotAllowed"
)

// Fault says what is wrong with a service; nil when nothing is.
type Fault struct{ Reason, Message string }

func (f *Fault) Error() string { return f.Message }

func fault(reason, format string, args ...any) *Fault {
	return &Fault{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// CheckKey checks the names alone.
func CheckKey(k Key) *Fault {
	if e := validation.IsDNS1123Label(k.Namespace); len(e) > 0 {
		return fault(ReasonMalformed, "namespace %.80q: %s", k.Namespace, e[0])
	}
	if e := validation.IsDNS1123Label(k.Name); len(e) > 0 {
		return fault(ReasonMalformed, "service name %.80q: %s", k.Name, e[0])
	}
	return nil
}

// CheckService checks everything in a service that doesn't depend on who sent
// it. What it passes, ToExport reads without loss.
func CheckService(s *federationv1.Service) *Fault {
	if f := CheckKey(KeyOf(s.GetKey())); f != nil {
		return f
	}
	if n := proto.Size(s); n > MaxServiceBytes {
		return fault(ReasonTooLarge, "the service takes %d bytes; at most %d are allowed: export fewer endpoints behind one name", n, MaxServiceBytes)
	}
	if _, ok := federationv1.Service_Kind_name[int32(s.GetKind())]; !ok {
		return fault(ReasonMalformed, "unknown kind %d", s.GetKind())
	}
	if s.GetCreatedUnix() <= 0 {
		return fault(ReasonMalformed, "created_unix %d: not a time after 1970", s.GetCreatedUnix())
	}
	if len(s.GetHash()) > maxHash {
		return fault(ReasonMalformed, "hash of %d bytes; at most %d are allowed", len(s.GetHash()), maxHash)
	}
	if f := checkAccounts(s); f != nil {
		return f
	}
	return checkPorts(s.GetPorts())
}

// checkAccounts takes accounts of the service's own namespace only: a pod
// behind a service never runs in another one, and importers accept the
// identities made of these.
func checkAccounts(s *federationv1.Service) *Fault {
	if n := len(s.GetServiceAccounts()); n > MaxAccounts {
		return fault(ReasonTooLarge, "%d service accounts; at most %d are allowed", n, MaxAccounts)
	}
	last := ""
	for i, a := range s.GetServiceAccounts() {
		namespace, name, _ := strings.Cut(a, "/")
		if namespace != s.GetKey().GetNamespace() {
			return fault(ReasonAccount, "service account %.140q is not of namespace %q", a, s.GetKey().GetNamespace())
		}
		if e := validation.IsDNS1123Subdomain(name); len(e) > 0 {
			return fault(ReasonAccount, "service account %.140q: %s", a, e[0])
		}
		if i > 0 && a <= last {
			return fault(ReasonMalformed, "service accounts are not sorted at %.140q", a)
		}
		last = a
	}
	return nil
}

func checkPorts(ports []*federationv1.Port) *Fault {
	if n := len(ports); n > MaxPorts {
		return fault(ReasonTooLarge, "%d ports; at most %d are allowed", n, MaxPorts)
	}
	names := make(map[string]bool, len(ports))
	last := uint32(0)
	for _, p := range ports {
		if p.GetNumber() < 1 || p.GetNumber() > 65535 {
			return fault(ReasonMalformed, "port number %d is not between 1 and 65535", p.GetNumber())
		}
		if p.GetNumber() <= last {
			return fault(ReasonMalformed, "ports are not sorted, or doubled, at %d", p.GetNumber())
		}
		last = p.GetNumber()
		if p.GetName() != "" {
			if e := validation.IsDNS1123Label(p.GetName()); len(e) > 0 {
				return fault(ReasonMalformed, "name %.80q of port %d: %s", p.GetName(), p.GetNumber(), e[0])
			}
		}
		if names[p.GetName()] {
			return fault(ReasonMalformed, "two ports are named %q", p.GetName())
		}
		names[p.GetName()] = true
		if _, ok := federationv1.Port_Protocol_name[int32(p.GetProtocol())]; !ok {
			return fault(ReasonMalformed, "unknown protocol %d of port %d", p.GetProtocol(), p.GetNumber())
		}
		if f := checkZones(p.GetNumber(), p.GetZones()); f != nil {
			return f
		}
		if f := checkSubsets(p); f != nil {
			return f
		}
		if f := checkEndpoints(p); f != nil {
			return f
		}
	}
	return nil
}

func checkZones(port uint32, zones []*federationv1.Zone) *Fault {
	if n := len(zones); n > MaxZones {
		return fault(ReasonTooLarge, "%d zones behind port %d; at most %d are allowed", n, port, MaxZones)
	}
	seen := make(map[[3]string]bool, len(zones))
	for _, z := range zones {
		l := z.GetLocality()
		if f := checkLocality(l); f != nil {
			return f
		}
		k := [3]string{l.GetRegion(), l.GetZone(), l.GetSubZone()}
		if seen[k] {
			return fault(ReasonMalformed, "zone %q is named twice behind port %d", strings.Join(k[:], "/"), port)
		}
		seen[k] = true
		if z.GetReady() > MaxReady {
			return fault(ReasonTooLarge, "%d ready endpoints in a zone behind port %d; at most %d are allowed", z.GetReady(), port, MaxReady)
		}
	}
	return nil
}

func checkLocality(l *federationv1.Locality) *Fault {
	for _, v := range []string{l.GetRegion(), l.GetZone(), l.GetSubZone()} {
		if e := validation.IsValidLabelValue(v); len(e) > 0 {
			return fault(ReasonMalformed, "locality %.80q: %s", v, e[0])
		}
	}
	return nil
}

func checkEndpoints(p *federationv1.Port) *Fault {
	if n := len(p.GetEndpoints()); n > MaxEndpoints {
		return fault(ReasonTooLarge, "%d endpoints behind port %d; at most %d are allowed", n, p.GetNumber(), MaxEndpoints)
	}
	for _, e := range p.GetEndpoints() {
		if f := CheckPodAddress(e.GetAddress()); f != nil {
			return f
		}
		if e.GetPort() < 1 || e.GetPort() > 65535 {
			return fault(ReasonMalformed, "port %d of endpoint %s is not between 1 and 65535", e.GetPort(), e.GetAddress())
		}
		if e.GetHostname() != "" {
			if bad := validation.IsDNS1123Label(e.GetHostname()); len(bad) > 0 {
				return fault(ReasonMalformed, "hostname %.80q of endpoint %s: %s", e.GetHostname(), e.GetAddress(), bad[0])
			}
		}
		if f := checkLocality(e.GetLocality()); f != nil {
			return f
		}
		if f := CheckLabels(model.Labels(e.GetLabels())); f != nil {
			return f
		}
	}
	return nil
}
