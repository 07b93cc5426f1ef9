// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// checkFlags say how other members' gateways are checked.
type checkFlags struct {
	enabled            bool
	interval, timeout  time.Duration
	unhealthy, healthy uint32
}

func gatewayChecks(f *pflag.FlagSet) *checkFlags {
	c := &checkFlags{}
	f.BoolVar(&c.enabled, "gateway-checks", true, "let this member's east-west gateways check whether those of other networks answer, and answer such checks")
	f.DurationVar(&c.interval, "gateway-check-interval", 2*time.Second, "longest time from the beginning of a check to that of the next")
	f.DurationVar(&c.timeout, "gateway-check-timeout", time.Second, "how long a check may take; less than the interval")
	f.Uint32Var(&c.unhealthy, "gateway-check-unhealthy-threshold", 2, "checks in a row that fail before a gateway is out of use")
	f.Uint32Var(&c.healthy, "gateway-check-healthy-threshold", 3, "checks in a row that succeed before it is in use again")
	return c
}

// into the settings of the mesh. The error names the flag to mend.
func (c *checkFlags) into(s *model.Settings) error {
	switch {
	case !c.enabled:
		return nil
	case c.timeout < time.Millisecond:
		return fmt.Errorf("--gateway-check-timeout %s must be at least 1ms", c.timeout)
	case c.interval <= c.timeout:
		return fmt.Errorf("--gateway-check-interval %s must be more than --gateway-check-timeout %s", c.interval, c.timeout)
	case c.unhealthy == 0:
		return errors.New("--gateway-check-unhealthy-threshold must be at least 1")
	case c.healthy == 0:
		return errors.New("--gateway-check-healthy-threshold must be at least 1")
	}
	s.GatewayChecks = &model.GatewayChecks{
		IntervalMillis: c.interval.Milliseconds(), TimeoutMillis: c.timeout.Milliseconds(),
		UnhealthyThreshold: c.unhealthy, HealthyThreshold: c.healthy,
	}
	return nil
}
