// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"strconv"

	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/isthmesh/isthmesh/controllers/admission"
	"github.com/isthmesh/isthmesh/controllers/webhookcert"
)

// webhookServer makes the server that the API server calls; nil when the address is 0.
func webhookServer(address string, certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) (webhook.Server, error) {
	if address == "0" {
		return nil, nil
	}
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("--webhook-bind-address must be host:port, such as :9443, or 0: %w", err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("--webhook-bind-address %q: the port must be a number from 1 to 65535", address)
	}
	return webhook.NewServer(webhook.Options{Host: host, Port: int(port), TLSOpts: []func(*tls.Config){func(c *tls.Config) {
		c.MinVersion = tls.VersionTLS12
		c.GetCertificate = certificate // else the server reads files
	}}}), nil
}

// setUpWebhook serves the validation of both kinds on every replica, and keeps
// its caBundle.
func (h *federationHub) setUpWebhook() error {
	changed := make(chan struct{}, 1)
	certificate := &admission.Certificate{
		Client: h.manager.GetClient(), Namespace: h.options.namespace, Now: h.now, Rand: h.rand, Log: h.log.WithName("webhook"), Changed: changed,
	}
	server, err := webhookServer(h.options.webhookBind, certificate.GetCertificate)
	if server == nil || err != nil {
		return err
	}
	w := &admission.Webhook{Reader: h.manager.GetClient(), AllowLoopback: h.outside}
	server.Register(admission.Path, w.Handler())
	bundle := &webhookcert.Reconciler{
		Client: h.manager.GetClient(), Service: admission.ServiceName, Namespace: h.options.namespace,
		Roots: certificate.Roots, Changed: changed, ValidatingOnly: true,
	}
	if err := bundle.SetupWithManager(h.manager); err != nil {
		return err
	}
	if err := h.manager.Add(certificate); err != nil {
		return err
	}
	return h.manager.Add(server)
}
