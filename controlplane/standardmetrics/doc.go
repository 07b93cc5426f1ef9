// SPDX-License-Identifier: Apache-2.0

// Package standardmetrics makes Envoy count calls as the standard metrics of Istio's
// users do (istio_requests_total and its family), by access loggers that write no lines but
// statistics. The translators put them into their listeners, package accesslog changes
// them as Telemetries ask. Pure.
//
// Envoy writes few tags. Who is at the other end comes packed into one, out of its
// certificate (package peer), and who is at this end doesn't come at all: the agent, which
// knows it, makes the labels of both when metrics are scraped.
package standardmetrics
