// SPDX-License-Identifier: Apache-2.0

package standardmetrics

// Place says on which side of calls a listener stands, and what can be known there.
type Place uint8

// The places.
const (
	// Outbound of a sidecar.
	Outbound Place = iota
	// Gateway: the callers are strangers.
	Gateway
	// Mutual is inbound over the mesh's mutual TLS, Plain inbound over anything else.
	Mutual
	Plain
	places
)

// tag of every metric of a place; empty formats are left out.
type tag struct {
	name, format string
	rule         rule
}

// Of the metadata of clusters, which say what service they are of.
const (
	metadata = "isthmesh.service"
	hostKey  = "host"
	nameKey  = "name"
	// namespaceKey may be missing.
	namespaceKey = "namespace"
)

func fromCluster(key string) string { return "%CLUSTER_METADATA(" + metadata + ":" + key + ")%" }

// orElse is another operator's value where the cluster's metadata have none.
func orElse(key, command, param string) string {
	return `%COALESCE({"operators":[{"command":"CLUSTER_METADATA","param":"` + metadata + ":" + key + `"},{"command":"` + command + `","param":"` + param + `"}]})%`
}

// service packs host, name and namespace of the destination. What the mesh has no name
// for is told by the host that the workload behind a sidecar asked for. Strangers can't
// choose what is counted by.
func (p Place) service(http bool) string {
	host, name := fromCluster(hostKey), fromCluster(nameKey)
	if http && p == Outbound {
		host, name = orElse(hostKey, "REQ", ":authority"), orElse(nameKey, "METADATA", "ROUTE:"+metadata+":"+nameKey)
	}
	return host + "|" + name + "|" + fromCluster(namespaceKey)
}

// tags that requests and connections have in common.
func (p Place) tags(http bool) []tag {
	reporter, other, policy := "source", "UPSTREAM", "unknown"
	self := "%UPSTREAM_LOCAL_URI_SAN%"
	switch p {
	case Mutual:
		reporter, other, policy = "destination", "DOWNSTREAM", "mutual_tls"
		self = "%DOWNSTREAM_LOCAL_URI_SAN%"
	case Plain:
		// Whoever shows a certificate here isn't vouched for by the mesh.
		reporter, other, policy, self = "destination", "", "none", ""
	}
	out := []tag{{name: "reporter", format: reporter}}
	if other != "" {
		out = append(
			out,
			tag{"peer", "%" + other + "_PEER_DNS_SAN%", packed},
			tag{"peer_principal", "%" + other + "_PEER_URI_SAN%", none},
			tag{"self_principal", self, none},
		)
	}
	out = append(
		out,
		tag{"service", p.service(http), none},
		tag{"connection_security_policy", policy, none},
		tag{"response_flags", "%RESPONSE_FLAGS%", none},
	)
	if !http {
		return append(out, tag{"request_protocol", "tcp", none})
	}
	return append(
		out,
		tag{"request_protocol", "%REQ(content-type)%", grpc},
		tag{"response_code", "%RESPONSE_CODE%", none},
		tag{"grpc_response_status", "%GRPC_STATUS_NUMBER%", none},
	)
}
