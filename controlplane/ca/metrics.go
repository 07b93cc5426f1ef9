// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of the CA, under Istio's names.
type Metrics struct {
	requests, unauthenticated, unparsable, issued, impersonations prometheus.Counter
	failed                                                        *prometheus.CounterVec
}

// NewMetrics registers the metrics of a CA. The expiry gauges are read from the
// authority whenever they are collected, so they follow each new signer.
func NewMetrics(registry prometheus.Registerer, authority *Authority) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		registry.MustRegister(c)
		return c
	}
	m := &Metrics{
		requests:        counter("citadel_server_csr_count", "Certificate requests received."),
		unauthenticated: counter("citadel_server_authentication_failure_count", "Certificate requests whose caller could not be authenticated."),
		unparsable:      counter("citadel_server_csr_parsing_err_count", "Certificate requests that could not be read."),
		impersonations:  counter("citadel_server_id_extraction_err_count", "Certificate requests that asked for another identity than the caller's."),
		issued:          counter("citadel_server_success_cert_issuance_count", "Certificates issued."),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "citadel_server_csr_sign_err_count", Help: "Certificate requests that could not be signed.",
		}, []string{"error"}),
	}
	registry.MustRegister(m.failed)
	gauge := func(name, help string, value func(*Signer) float64) {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			if s := authority.Signer(); s != nil {
				return value(s)
			}
			return 0
		}))
	}
	now := authority.settings.Now
	root := func(s *Signer) time.Time { return s.roots.NotAfter() }
	gauge("citadel_server_root_cert_expiry_timestamp", "When the first of the trusted roots expires, in Unix seconds; 0 without a root.",
		func(s *Signer) float64 { return float64(root(s).Unix()) })
	gauge("citadel_server_root_cert_expiry_seconds", "Seconds until the first of the trusted roots expires; negative when it has.",
		func(s *Signer) float64 { return root(s).Sub(now()).Seconds() })
	gauge("citadel_server_cert_chain_expiry_timestamp", "When the signing certificate, or one above it, expires, in Unix seconds; 0 without one.",
		func(s *Signer) float64 { return float64(s.notAfter.Unix()) })
	gauge("citadel_server_cert_chain_expiry_seconds", "Seconds until the signing certificate, or one above it, expires; negative when it has.",
		func(s *Signer) float64 { return s.notAfter.Sub(now()).Seconds() })
	return m
}
