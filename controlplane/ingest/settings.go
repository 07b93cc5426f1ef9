// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"reflect"
	"slices"

	meshapi "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/proxyconfig"
)

// Defaults where neither the installation nor MeshConfig says anything.
const (
	defaultRootNamespace  = "istio-system"
	defaultDomainSuffix   = "cluster.local"
	defaultTrustDomain    = "cluster.local"
	defaultConnectTimeout = 10_000
)

// settings are the mesh-wide options and what they were made of.
type settings struct {
	*model.Settings
	base   model.Settings
	name   string
	text   string
	config *meshConfig
	// broken is why text cannot be used, if it cannot.
	broken   string
	label    model.NetworkID
	problems []model.Problem
}

// nextSettings adds MeshConfig and the root namespace's network to what the
// installation says. While the YAML is malformed the last good one holds: this
// is the one thing that prev changes in a mesh.
func nextSettings(in *Input, namespaces []*corev1.Namespace, prev *settings) *settings {
	next := &settings{base: in.Settings, name: orDefault(in.MeshConfigName, MeshConfigMap), text: in.MeshConfig}
	if prev != nil && prev.text == in.MeshConfig {
		next.config, next.broken = prev.config, prev.broken
	} else if config, err := parseMeshConfig(in.MeshConfig); err == nil {
		next.config = config
	} else {
		next.config, next.broken = &meshConfig{MeshConfig: &meshapi.MeshConfig{}}, err.Error()
		if prev != nil {
			next.config = prev.config
		}
	}
	next.label = networkLabel(next.rootNamespace(), namespaces)
	if prev != nil && prev.name == next.name && prev.config == next.config && prev.broken == next.broken &&
		prev.label == next.label && reflect.DeepEqual(prev.base, next.base) {
		return prev
	}
	next.apply()
	if prev != nil && reflect.DeepEqual(prev.Settings, next.Settings) {
		next.Settings = prev.Settings
	}
	return next
}

func (s *settings) rootNamespace() string {
	if name := s.config.GetRootNamespace(); name != "" {
		return name
	}
	return orDefault(s.base.RootNamespace, defaultRootNamespace)
}

// apply makes the effective settings and their Problems.
func (s *settings) apply() {
	e := s.base
	e.RootNamespace = s.rootNamespace()
	e.DomainSuffix = orDefault(e.DomainSuffix, defaultDomainSuffix)
	e.TrustDomain = orDefault(e.TrustDomain, orDefault(s.config.GetTrustDomain(), defaultTrustDomain))
	e.TrustDomainAliases = aliases(e.TrustDomain, e.TrustDomainAliases, s.config.GetTrustDomainAliases())
	if e.Network == "" {
		e.Network = s.label
	}
	e.AccessLogPath = orDefault(s.config.GetAccessLogFile(), e.AccessLogPath)
	e.AccessLogFormat = orDefault(s.config.GetAccessLogFormat(), e.AccessLogFormat)
	e.NoRefusedLog = e.NoRefusedLog || s.config.GetDisableEnvoyListenerLog()
	e.AutoMTLS = s.config.GetEnableAutoMtls() == nil || s.config.GetEnableAutoMtls().GetValue()
	if d := s.config.GetConnectTimeout(); d.AsDuration() > 0 {
		e.ConnectTimeoutMillis = max(1, d.AsDuration().Milliseconds())
	}
	if e.ConnectTimeoutMillis <= 0 {
		e.ConnectTimeoutMillis = defaultConnectTimeout
	}
	e.Ingress = ingressSettings(s.config)
	problems := s.applyTraffic(&e)
	s.Settings = &e
	s.problems = append(problems, s.findProblems()...)
}

// ingressSettings of MeshConfig. The pods' label is the Service's name where
// nothing else is said, but for the name that Istio's own charts give it.
func ingressSettings(c *meshConfig) model.IngressSettings {
	out := model.IngressSettings{Class: c.GetIngressClass(), Selector: c.GetIngressSelector(), Service: c.GetIngressService()}
	if out.Selector == "" && out.Service != "istio-ingressgateway" {
		out.Selector = out.Service
	}
	switch c.GetIngressControllerMode() {
	case meshapi.MeshConfig_DEFAULT:
		out.Mode = model.UnclassedIngresses
	case meshapi.MeshConfig_OFF:
		out.Mode = model.NoIngresses
	default:
	}
	return out
}

// reporter appends Problems of the ConfigMap that holds MeshConfig.
func (s *settings) reporter(to *[]model.Problem) reporter {
	where := key{orDefault(s.base.RootNamespace, defaultRootNamespace), s.name}
	return func(field, reason, format string, args ...any) {
		*to = append(*to, problemOf(kindConfigMap, where, field, reason, format, args...))
	}
}

func (s *settings) findProblems() []model.Problem {
	var problems []model.Problem
	add := s.reporter(&problems)
	if s.broken != "" {
		add("data.mesh", Invalid, "the last good mesh configuration stays in force; mend the YAML: %s", s.broken)
	}
	for _, name := range s.config.unknown {
		add("data.mesh."+name, UnknownField, "MeshConfig has no field %q; remove it or correct its name", name)
	}
	for _, path := range s.config.nested {
		add("data.mesh."+path, UnknownField, "MeshConfig has no such field; remove it or correct its name")
	}
	for _, name := range s.config.unhonoured() {
		add("data.mesh."+name, NotSupported, "%s is not honoured: %s", name, Unhonoured[name])
	}
	if merge := s.config.GetEnablePrometheusMerge(); merge != nil && !merge.GetValue() {
		add("data.mesh.enablePrometheusMerge", NotSupported, "the agent adds an application's metrics to its own wherever the pod says that it has any: "+
			"remove the pods' annotation prometheus.io/scrape, or give them prometheus.istio.io/merge-metrics: \"false\"")
	}
	for _, f := range proxyDefaults(s.config.GetDefaultConfig(), s.ProxyImageTypes) {
		add("data.mesh.defaultConfig."+f.Field, f.Reason, "%s", f.Message)
	}
	if d := s.config.GetConnectTimeout(); d != nil && d.AsDuration() <= 0 {
		add("data.mesh.connectTimeout", Invalid, "%v is no timeout and is not used; give one above zero", d.AsDuration())
	}
	if td := s.config.GetTrustDomain(); td != "" && td != s.TrustDomain {
		add("data.mesh.trustDomain", Conflict,
			"this control plane was installed with trust domain %q, which holds; set trustDomain to it", s.TrustDomain)
	}
	if s.label != "" && s.label != s.Network {
		problems = append(problems, problemOf(kindNamespace, key{name: s.RootNamespace}, "metadata.labels["+labelNetwork+"]", Conflict,
			"this control plane was installed for network %q, which holds; set the label to it", s.Network))
	}
	return problems
}

// proxyDefaults finds what proxies don't honour of the mesh's defaultConfig.
func proxyDefaults(c *meshapi.ProxyConfig, imageTypes []string) []proxyconfig.Finding {
	if c == nil {
		return nil
	}
	out := proxyconfig.Check(c, proxyconfig.Mesh)
	if f := proxyconfig.ImageType(c.GetImage().GetImageType(), imageTypes); f != nil && f.Reason != proxyconfig.Invalid {
		out = append(out, *f)
	}
	return out
}

// networkLabel is the network that the root namespace names for the cluster.
func networkLabel(rootNamespace string, namespaces []*corev1.Namespace) model.NetworkID {
	if ns, ok := find(namespaces, key{name: rootNamespace}); ok {
		return model.NetworkID(ns.Labels[labelNetwork])
	}
	return ""
}

func aliases(trustDomain string, lists ...[]string) []string {
	all := slices.Concat(lists...)
	slices.Sort(all)
	all = slices.Compact(all)
	return slices.DeleteFunc(all, func(s string) bool { return s == "" || s == trustDomain })
}

func orDefault(value, fallback string) string {
	if value != "" {
		return value
	}
	return fallback
}
