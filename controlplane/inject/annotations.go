// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/isthmesh/isthmesh/controlplane/agent/redirect"
	"github.com/isthmesh/isthmesh/controlplane/proxyconfig"
)

// refusal is a pod that asks for what it cannot get: its author must know, and
// it must not run with less.
type refusal struct{ message string }

func (r refusal) Error() string { return r.message }

func refuse(format string, args ...any) error { return refusal{fmt.Sprintf(format, args...)} }

// Refused tells a mistake of the pod's author from one of the mesh.
func Refused(err error) bool { return errors.As(err, new(refusal)) }

// rule is what becomes of one annotation: nil check and no effect said means
// that any value is taken.
type rule struct {
	check func(string) error
	// ineffective says what holds instead, where the annotation does nothing.
	ineffective string
}

// known are the annotations of Istio's groups.
var known = map[string]rule{
	injectKey:                                 {},
	statusKey:                                 {},
	proxyConfigKey:                            {}, // read by proxyConfig
	"proxy.istio.io/overrides":                {},
	"inject.istio.io/templates":               {},
	"prometheus.istio.io/merge-metrics":       {check: boolean},
	"sidecar.istio.io/proxyCPU":               {check: quantity},
	"sidecar.istio.io/proxyCPULimit":          {check: quantity},
	"sidecar.istio.io/proxyMemory":            {check: quantity},
	"sidecar.istio.io/proxyMemoryLimit":       {check: quantity},
	"sidecar.istio.io/proxyImage":             {},
	"sidecar.istio.io/logLevel":               {check: oneOf("trace", "debug", "info", "warning", "warn", "error", "critical", "off")},
	"sidecar.istio.io/componentLogLevel":      {},
	"sidecar.istio.io/rewriteAppHTTPProbers":  {check: boolean},
	"sidecar.istio.io/interceptionMode":       {check: oneOf("REDIRECT")},
	"sidecar.istio.io/nativeSidecar":          {check: oneOf("true")},
	"sidecar.istio.io/discoveryAddress":       {},
	"sidecar.istio.io/statsInclusionPrefixes": {},
	"sidecar.istio.io/statsInclusionSuffixes": {},
	"sidecar.istio.io/statsInclusionRegexps":  {check: expressions},
	"sidecar.istio.io/userVolume":             {check: object},
	"sidecar.istio.io/userVolumeMount":        {check: object},
	"sidecar.istio.io/bootstrapOverride":      {check: never("Envoy's bootstrap cannot be replaced")},
	"sidecar.istio.io/agentLogLevel":          {ineffective: "the agent logs at level info"},
	"sidecar.istio.io/extraStatTags":          {ineffective: "no tags are added"},
	imageTypeKey:                              {check: imageKind},
	"sidecar.istio.io/statsCompression":       {ineffective: "metrics are not compressed"},
	"sidecar.istio.io/statsEvictionInterval":  {ineffective: "metrics are not evicted"},
	"sidecar.istio.io/statsFlushInterval":     {ineffective: "metrics are flushed every 5 s"},
	"sidecar.istio.io/statsHistogramBins":     {ineffective: "histograms have Envoy's bins"},
	"sidecar.istio.io/statsHistogramBuckets":  {ineffective: "histograms have Envoy's buckets"},

	"status.sidecar.istio.io/port":                          {check: oneOf("15020")},
	"readiness.status.sidecar.istio.io/applicationPorts":    {ineffective: "readiness is the proxy's own"},
	"readiness.status.sidecar.istio.io/failureThreshold":    {check: count},
	"readiness.status.sidecar.istio.io/initialDelaySeconds": {check: count},
	"readiness.status.sidecar.istio.io/periodSeconds":       {check: count},
	"traffic.sidecar.istio.io/includeInboundPorts":          {check: ports},
	"traffic.sidecar.istio.io/excludeInboundPorts":          {check: portList},
	"traffic.sidecar.istio.io/includeOutboundPorts":         {check: portList},
	"traffic.sidecar.istio.io/excludeOutboundPorts":         {check: portList},
	"traffic.sidecar.istio.io/includeOutboundIPRanges":      {check: ranges},
	"traffic.sidecar.istio.io/excludeOutboundIPRanges":      {check: rangeList},
	"traffic.sidecar.istio.io/excludeInterfaces":            {check: interfaces},
	"traffic.sidecar.istio.io/kubevirtInterfaces":           {check: never("virtual machines inside of pods are not redirected")},
}

var groups = []string{"sidecar.istio.io", "proxy.istio.io", "inject.istio.io", "prometheus.istio.io"}

// checkAnnotations refuses annotations that cannot be honoured, and warns of
// those that have no effect.
func checkAnnotations(annotations map[string]string) ([]string, error) {
	var warnings []string
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		r, ok := known[name]
		switch {
		case ok && r.check != nil:
			if err := r.check(annotations[name]); err != nil {
				return nil, refuse("annotation %s: %v", name, err)
			}
		case ok && r.ineffective != "":
			warnings = append(warnings, fmt.Sprintf("annotation %s has no effect: %s", name, r.ineffective))
		case !ok && ours(name):
			warnings = append(warnings, fmt.Sprintf("annotation %s is not known and has no effect", name))
		}
	}
	return warnings, nil
}

func ours(name string) bool {
	group, _, ok := strings.Cut(name, "/")
	return ok && slices.ContainsFunc(groups, func(g string) bool { return group == g || strings.HasSuffix(group, "."+g) })
}

func boolean(s string) error {
	if _, err := strconv.ParseBool(s); err != nil {
		return fmt.Errorf("%q is neither true nor false", s)
	}
	return nil
}

func quantity(s string) error {
	if _, err := resource.ParseQuantity(s); err != nil {
		return fmt.Errorf("%q is not a quantity such as 100m or 128Mi", s)
	}
	return nil
}

// expressions checks what would keep Envoy from starting.
func expressions(s string) error {
	for word := range strings.SplitSeq(s, ",") {
		if _, err := regexp.Compile(strings.TrimSpace(word)); err != nil {
			return err
		}
	}
	return nil
}

func count(s string) error {
	if n, err := strconv.ParseInt(s, 10, 32); err != nil || n < 0 {
		return fmt.Errorf("%q is not a whole number", s)
	}
	return nil
}

func object(s string) error {
	v, err := fromJSON(s)
	if err != nil {
		return err
	}
	if _, ok := v.(map[string]any); !ok {
		return errors.New("is not a JSON object of names")
	}
	return nil
}

func imageKind(s string) error {
	if f := proxyconfig.ImageType(s, nil); f != nil && f.Reason == proxyconfig.Invalid {
		return errors.New(f.Message)
	}
	return nil
}

func oneOf(values ...string) func(string) error {
	return func(s string) error {
		if !slices.Contains(values, s) {
			return fmt.Errorf("%q is not supported: %s is", s, strings.Join(values, ", "))
		}
		return nil
	}
}

func never(why string) func(string) error {
	return func(string) error { return fmt.Errorf("is not supported: %s", why) }
}

func ports(s string) error      { _, err := redirect.ParsePorts(s); return err }
func portList(s string) error   { _, err := redirect.ParsePortList(s); return err }
func ranges(s string) error     { _, err := redirect.ParseRanges(s); return err }
func rangeList(s string) error  { _, err := redirect.ParseRangeList(s); return err }
func interfaces(s string) error { _, err := redirect.ParseInterfaces(s); return err }
