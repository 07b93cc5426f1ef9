// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"

	"github.com/isthmesh/isthmesh/controlplane/agent"
)

func proxyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "proxy {sidecar|router}",
		Short: "Run Envoy with its certificate, until it or the pod ends",
		Long: `Run Envoy with its certificate, until it or the pod ends.

The pod's template sets the environment that this reads: POD_NAME, POD_NAMESPACE, SERVICE_ACCOUNT,
INSTANCE_IP, INSTANCE_IPS, NODE_NAME, TRUST_DOMAIN, CA_ADDR, PROXY_CONFIG and ISTIO_META_*.
On a machine outside the cluster the files of isthmesh workload configure say all that: cluster.env as
/var/lib/istio/envoy/cluster.env, mesh.yaml as /etc/istio/config/mesh, root-cert.pem in /etc/certs, where
the certificate is kept, and istio-token in /var/run/secrets/tokens.`,
		ValidArgs: []string{"sidecar", "router"},
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
	}
	level := c.Flags().String("proxyLogLevel", "", "Envoy's log level (trace, debug, info, warning, error, critical, off; default warning)")
	components := c.Flags().String("proxyComponentLogLevel", "misc:error", "Envoy's log levels by component, such as upstream:debug,router:trace")
	domain := c.Flags().String("domain", "", "DNS domain of the pod's services, such as shop.svc.cluster.local")
	c.RunE = func(c *cobra.Command, args []string) error {
		log := logr.FromContextOrDiscard(c.Context())
		s, err := readSettings(args[0], environment(os.Environ()), os.ReadFile, thisHost())
		if err != nil {
			return err
		}
		s.LogLevel, s.ComponentLogLevel = first(*level, s.LogLevel), *components
		if suffix := domainSuffix(*domain); suffix != "" {
			s.Node.DomainSuffix = suffix
		}
		s.EnvoyOutput = os.Stderr
		code, err := agent.Run(c.Context(), s)
		if err != nil {
			log.Error(err, "The proxy ends")
		}
		if code != 0 {
			return exit(code)
		}
		return nil
	}
	return c
}
