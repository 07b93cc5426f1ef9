// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"

	"github.com/isthmesh/isthmesh/controlplane/agent/redirect"
)

func redirectCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "redirect",
		Short: "Lead the pod's traffic through its proxy (needs NET_ADMIN)",
		Long: `Lead the pod's traffic through its proxy (needs NET_ADMIN).

On a machine outside the cluster the files of isthmesh workload configure say what is not said by a flag.`,
		Args: cobra.NoArgs,
	}
	var inbound, excludeInbound, outbound, excludeOutbound, ranges, excludeRanges, interfaces string
	o := redirect.Defaults()
	flags := c.Flags()
	flags.StringVar(&inbound, "include-inbound-ports", "*", "inbound TCP ports that pass the proxy, or * for all")
	flags.StringVar(&excludeInbound, "exclude-inbound-ports", "", "inbound TCP ports that don't")
	flags.StringVar(&ranges, "include-outbound-ranges", "*", "outbound CIDRs that pass the proxy, or * for all")
	flags.StringVar(&excludeRanges, "exclude-outbound-ranges", "", "outbound CIDRs that don't")
	flags.StringVar(&outbound, "include-outbound-ports", "", "outbound TCP ports that pass the proxy whatever the address")
	flags.StringVar(&excludeOutbound, "exclude-outbound-ports", "", "outbound TCP ports that don't pass the proxy")
	flags.StringVar(&interfaces, "exclude-interfaces", "", "network interfaces that are left alone")
	flags.BoolVar(&o.CaptureDNS, "capture-dns", false, "lead DNS for the pod's nameservers to the agent")
	flags.BoolVar(&o.CaptureAllDNS, "capture-all-dns", false, "with --capture-dns: lead DNS for any nameserver to the agent")
	dryRun := flags.Bool("dry-run", false, "print the rules and apply nothing")
	remove := flags.Bool("remove", false, "take the rules away again, as on a machine whose proxy was stopped")

	c.RunE = func(c *cobra.Command, _ []string) error {
		if *remove {
			return removeRules()
		}
		if err := machineFlags(c.Flags(), environment(os.Environ()), os.ReadFile); err != nil {
			return err
		}
		parse := []struct {
			flag string
			read func() error
		}{
			{"include-inbound-ports", func() (err error) { o.IncludeInboundPorts, err = redirect.ParsePorts(inbound); return }},
			{"exclude-inbound-ports", func() (err error) { o.ExcludeInboundPorts, err = redirect.ParsePortList(excludeInbound); return }},
			{"include-outbound-ports", func() (err error) { o.IncludeOutboundPorts, err = redirect.ParsePortList(outbound); return }},
			{"exclude-outbound-ports", func() (err error) { o.ExcludeOutboundPorts, err = redirect.ParsePortList(excludeOutbound); return }},
			{"include-outbound-ranges", func() (err error) { o.IncludeOutbound, err = redirect.ParseRanges(ranges); return }},
			{"exclude-outbound-ranges", func() (err error) { o.ExcludeOutbound, err = redirect.ParseRangeList(excludeRanges); return }},
			{"exclude-interfaces", func() (err error) { o.ExcludeInterfaces, err = redirect.ParseInterfaces(interfaces); return }},
		}
		for _, p := range parse {
			if err := p.read(); err != nil {
				return fmt.Errorf("--%s: %w", p.flag, err)
			}
		}
		if o.CaptureDNS && !o.CaptureAllDNS {
			servers, _, err := resolver(os.ReadFile)
			if err != nil {
				return err
			}
			for _, s := range servers {
				o.Nameservers = append(o.Nameservers, s.Addr())
			}
		}
		return applyRules(c, o, *dryRun)
	}
	return c
}

// removeRules of both families, whichever were applied.
func removeRules() error {
	o := redirect.Defaults()
	o.IPv6 = true
	return redirect.Remove(redirect.Build(o))
}

func applyRules(c *cobra.Command, o redirect.Options, dryRun bool) error {
	var err error
	if o.IPv6, err = redirect.HasIPv6(); err != nil {
		return err
	}
	rulesets := redirect.Build(o)
	for _, r := range rulesets {
		if _, err := fmt.Fprint(c.OutOrStdout(), r); err != nil {
			return err
		}
	}
	if dryRun {
		return nil
	}
	if o.IPv6 {
		if err := redirect.AddInboundSource(); err != nil {
			return err
		}
	}
	if err := redirect.Apply(rulesets); err != nil {
		return err
	}
	logr.FromContextOrDiscard(c.Context()).Info("The pod's traffic passes its proxy", "table", redirect.Table, "ipv6", o.IPv6, "nameservers", len(o.Nameservers))
	return nil
}
