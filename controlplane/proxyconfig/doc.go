// SPDX-License-Identifier: Apache-2.0

// Package proxyconfig is what Istio's ProxyConfig means here: which of its fields
// proxies honour (Check), how those of a mesh, a namespace, a pod and a workload
// are put together (Merge), which variables may be set in a proxy (Variable), and
// which image a type of images stands for (Image). ProxyConfig is written in
// meshConfig.defaultConfig, in the annotation proxy.istio.io/config and, a part of
// it, in the kind ProxyConfig. Ingest asks it and tells Problems, injection asks it
// and gives the result to the agent. Pure.
package proxyconfig
