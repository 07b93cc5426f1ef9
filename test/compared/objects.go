// SPDX-License-Identifier: Apache-2.0

package compared

import (
	"fmt"
	"slices"
	"strings"
)

// pod of a cluster's lines.
type pod struct {
	namespace, name, account string
	addresses                []string
	labels                   map[string]string
	// plain has no proxy, router is a gateway.
	plain, router bool
	ports         []string
}

// Objects expands the lines of a cluster into Kubernetes objects, as its API
// server would have them:
//
//	namespace NAME [LABEL=VALUE ...]
//	pod NAMESPACE/NAME ADDRESS[,ADDRESS] sa=ACCOUNT [labels=K=V,...] [plain] [router]
//	secret NAMESPACE/NAME
//	service NAMESPACE/NAME [vip=ADDRESS[,ADDRESS]] ports=NAME:PORT:TARGET[:APPPROTOCOL],... selector=K=V [external=HOST] [ANNOTATION/KEY=VALUE]
//
// A service without a vip is headless. TARGET is a number, or NAME@NUMBER for a
// container's port by its name. Slices of endpoints come from the pods.
func Objects(lines string) (string, error) {
	var pods []*pod
	var out []string
	var services [][]string
	for line := range strings.Lines(lines) {
		words := strings.Fields(line)
		if len(words) < 2 || strings.HasPrefix(words[0], "#") {
			continue
		}
		switch words[0] {
		case "namespace":
			out = append(out, fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {%s}}", words[1], yamlMap(words[2:])))
		case "pod":
			p, err := podOf(words[1:])
			if err != nil {
				return "", err
			}
			pods = append(pods, p)
		case "secret":
			text, err := secretOf(words[1])
			if err != nil {
				return "", err
			}
			out = append(out, text)
		case "service":
			services = append(services, words[1:])
		default:
			return "", fmt.Errorf("nothing is known about %q", words[0])
		}
	}
	for _, words := range services {
		text, err := serviceOf(words, pods)
		if err != nil {
			return "", err
		}
		out = append(out, text...)
	}
	for _, p := range pods {
		out = append(out, p.yaml())
	}
	return strings.Join(out, "\n---\n"), nil
}

// Pod is what a proxy knows of its own pod.
type Pod struct {
	Addresses []string
	Labels    map[string]string
	Account   string
}

// PodOf the lines of a cluster, by NAMESPACE/NAME.
func PodOf(lines, name string) (Pod, error) {
	for line := range strings.Lines(lines) {
		words := strings.Fields(line)
		if len(words) > 2 && words[0] == "pod" && words[1] == name {
			p, err := podOf(words[1:])
			if err != nil {
				return Pod{}, err
			}
			return Pod{Addresses: p.addresses, Labels: p.labels, Account: p.account}, nil
		}
	}
	return Pod{}, fmt.Errorf("there is no pod %s", name)
}

// yamlMap of K=V pairs, as the inside of a flow map.
func yamlMap(pairs []string) string {
	var out []string
	for _, pair := range pairs {
		k, v, _ := strings.Cut(pair, "=")
		out = append(out, fmt.Sprintf("%s: %q", k, v))
	}
	return strings.Join(out, ", ")
}

func podOf(words []string) (*pod, error) {
	if len(words) < 2 {
		return nil, fmt.Errorf("pod %v needs a name and an address", words)
	}
	p := &pod{account: "default", addresses: strings.Split(words[1], ","), labels: map[string]string{}}
	p.namespace, p.name, _ = strings.Cut(words[0], "/")
	for _, w := range words[2:] {
		k, v, _ := strings.Cut(w, "=")
		switch k {
		case "sa":
			p.account = v
		case "plain":
			p.plain = true
		case "router":
			p.router = true
		case "labels":
			for pair := range strings.SplitSeq(v, ",") {
				name, value, _ := strings.Cut(pair, "=")
				p.labels[name] = value
			}
		default:
			return nil, fmt.Errorf("pod %s: nothing is known about %q", words[0], w)
		}
	}
	return p, nil
}

func (p *pod) yaml() string {
	var labels, ips []string
	for k, v := range p.labels {
		labels = append(labels, k+"="+v)
	}
	container := "{name: app, image: app, ports: [" + strings.Join(p.ports, ", ") + "]}"
	switch {
	case p.router:
		container = "{name: istio-proxy, image: proxy, args: [proxy, router]}"
	case !p.plain:
		labels = append(labels, "security.istio.io/tlsMode=istio")
		container += ", {name: istio-proxy, image: proxy}"
	}
	slices.Sort(labels)
	for _, ip := range p.addresses {
		ips = append(ips, fmt.Sprintf("{ip: %q}", ip))
	}
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s, labels: {%s}}
spec: {serviceAccountName: %s, containers: [%s]}
status: {phase: Running, podIP: %q, podIPs: [%s], conditions: [{type: Ready, status: "True"}]}`,
		p.name, p.namespace, yamlMap(labels), p.account, container, p.addresses[0], strings.Join(ips, ", "))
}

// has these labels.
func (p *pod) has(labels []string) bool {
	for _, pair := range labels {
		k, v, _ := strings.Cut(pair, "=")
		if p.labels[k] != v {
			return false
		}
	}
	return true
}

// family of addresses that a slice of endpoints has.
func family(address string) string {
	if strings.Contains(address, ":") {
		return "IPv6"
	}
	return "IPv4"
}

func serviceOf(words []string, pods []*pod) ([]string, error) {
	namespace, name, _ := strings.Cut(words[0], "/")
	var vips, ports, selector, annotations []string
	var external string
	for _, w := range words[1:] {
		k, v, _ := strings.Cut(w, "=")
		switch {
		case k == "vip":
			vips = strings.Split(v, ",")
		case k == "ports":
			ports = strings.Split(v, ",")
		case k == "selector":
			selector = strings.Split(v, ",")
		case k == "external":
			external = v
		case strings.Contains(k, "/"):
			annotations = append(annotations, w)
		default:
			return nil, fmt.Errorf("service %s: nothing is known about %q", words[0], w)
		}
	}
	var specs, targets []string
	for _, port := range ports {
		parts := strings.SplitN(port, ":", 4)
		if len(parts) < 3 {
			return nil, fmt.Errorf("service %s: port %q is not NAME:PORT:TARGET", words[0], port)
		}
		target, number, named := strings.Cut(parts[2], "@")
		if !named {
			number = target
		}
		protocol := ""
		if len(parts) == 4 {
			protocol = ", appProtocol: " + fmt.Sprintf("%q", parts[3])
		}
		field := ""
		if parts[0] != "" {
			field = fmt.Sprintf("name: %q, ", parts[0])
		}
		specs = append(specs, fmt.Sprintf("{%sport: %s, targetPort: %s, protocol: TCP%s}", field, parts[1], target, protocol))
		targets = append(targets, fmt.Sprintf("{%sport: %s, protocol: TCP%s}", field, number, protocol))
		for _, p := range pods {
			if named && p.namespace == namespace && len(selector) > 0 && p.has(selector) {
				p.ports = append(p.ports, fmt.Sprintf("{name: %s, containerPort: %s, protocol: TCP}", target, number))
			}
		}
	}
	spec := fmt.Sprintf("type: ClusterIP, ports: [%s], selector: {%s}", strings.Join(specs, ", "), yamlMap(selector))
	switch {
	case external != "":
		spec = fmt.Sprintf("type: ExternalName, externalName: %s, ports: [%s]", external, strings.Join(specs, ", "))
	case len(vips) == 0:
		spec += ", clusterIP: None, clusterIPs: [None]"
	default:
		spec += fmt.Sprintf(", clusterIP: %q, clusterIPs: [%s]", vips[0], `"`+strings.Join(vips, `", "`)+`"`)
	}
	out := []string{fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: %s, annotations: {%s}}\nspec: {%s}", name, namespace, yamlMap(annotations), spec)}
	if external != "" || len(selector) == 0 {
		return out, nil
	}
	for _, f := range []string{"IPv4", "IPv6"} {
		var endpoints []string
		for _, p := range pods {
			for _, a := range p.addresses {
				if p.namespace == namespace && p.has(selector) && family(a) == f {
					hostname := ""
					if len(vips) == 0 {
						// As of a StatefulSet.
						hostname = ", hostname: " + p.name
					}
					endpoints = append(endpoints, fmt.Sprintf("{addresses: [%q], conditions: {ready: true}%s, targetRef: {kind: Pod, name: %s, namespace: %s}}", a, hostname, p.name, namespace))
				}
			}
		}
		if len(endpoints) > 0 {
			out = append(out, fmt.Sprintf("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: %s-%s, namespace: %s, labels: {kubernetes.io/service-name: %s}}\naddressType: %s\nports: [%s]\nendpoints: [%s]",
				name, strings.ToLower(f), namespace, name, f, strings.Join(targets, ", "), strings.Join(endpoints, ", ")))
		}
	}
	return out, nil
}
