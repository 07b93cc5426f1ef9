// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
)

// The keys of a Secret that may hold a kubeconfig: ours, and Cluster API's.
var keys = []string{"kubeconfig", "value"}

// Kubeconfig reads the data of a kubeconfig Secret. It refuses what would make
// the hub run programs, read its own files, or call its own loopback (unless
// that is allowed, as when the hub runs outside of a cluster).
func Kubeconfig(secret string, data map[string][]byte, allowLoopback bool) (*rest.Config, error) {
	invalid := func(format string, args ...any) error {
		return &Error{Reason: v1alpha1.ReasonKubeconfigInvalid, Message: fmt.Sprintf("Secret %q: ", secret) + fmt.Sprintf(format, args...)}
	}
	i := slices.IndexFunc(keys, func(k string) bool { return len(data[k]) > 0 })
	if i < 0 {
		return nil, invalid("there is no key %q (or %q, as Cluster API has it) with a kubeconfig in it; it has %s",
			keys[0], keys[1], quoted(slices.Sorted(maps.Keys(data))))
	}
	key := keys[i]
	config, err := parse(data[key])
	if err != nil {
		return nil, invalid("key %q is not a kubeconfig: %v", key, err)
	}
	if err := safe(config); err != nil {
		return nil, invalid("key %q: %v", key, err)
	}
	current := config.Contexts[config.CurrentContext]
	server := config.Clusters[current.Cluster].Server
	if err := reachable(server); err != nil {
		return nil, invalid("key %q: cluster %q: %v", key, current.Cluster, err)
	}
	if !allowLoopback && loopback(server) {
		return nil, &Error{Reason: v1alpha1.ReasonLoopbackAPIServer, Message: fmt.Sprintf(
			"Secret %q, key %q: the server %s is an address that only its own machine reaches, and the hub is not there: "+
				"give an address that the hub reaches; for a kind cluster: `kind get kubeconfig --internal --name <cluster>`", secret, key, server)}
	}
	out, err := clientcmd.NewDefaultClientConfig(*config, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, invalid("key %q: %v", key, err)
	}
	return out, nil
}

// parse reads a kubeconfig in two steps whose errors tell the place and never
// the content.
func parse(raw []byte) (*clientcmdapi.Config, error) {
	asJSON, err := yaml.YAMLToJSON(raw)
	if err != nil {
		return nil, err
	}
	var v1 clientcmdv1.Config
	if err := json.Unmarshal(asJSON, &v1); err != nil {
		return nil, err
	}
	config, err := clientcmd.Load(asJSON)
	if err != nil {
		return nil, fmt.Errorf("it has apiVersion %q, kind %q", v1.APIVersion, v1.Kind)
	}
	switch current := config.Contexts[config.CurrentContext]; {
	case len(config.Clusters) == 0:
		return nil, errors.New("it names no cluster")
	case config.CurrentContext == "":
		return nil, fmt.Errorf("current-context is not set; set it to one of %s", quoted(slices.Sorted(maps.Keys(config.Contexts))))
	case current == nil:
		return nil, fmt.Errorf("current-context %q is not among its contexts, which are %s", config.CurrentContext, quoted(slices.Sorted(maps.Keys(config.Contexts))))
	case config.Clusters[current.Cluster] == nil:
		return nil, fmt.Errorf("context %q is of cluster %q, which is not among its clusters", config.CurrentContext, current.Cluster)
	case config.AuthInfos[current.AuthInfo] == nil:
		return nil, fmt.Errorf("context %q is of user %q, which is not among its users", config.CurrentContext, current.AuthInfo)
	}
	return config, nil
}

// safe refuses what would act on the hub itself.
func safe(config *clientcmdapi.Config) error {
	current := config.Contexts[config.CurrentContext]
	cluster, user := config.Clusters[current.Cluster], config.AuthInfos[current.AuthInfo]
	const embed = "put the content itself into the kubeconfig, as `kubectl config view --flatten --minify` does"
	switch {
	case user.Exec != nil:
		return fmt.Errorf("user %q runs a program (exec), which the hub never does: use a token or a client certificate", current.AuthInfo)
	case user.AuthProvider != nil:
		return fmt.Errorf("user %q uses an auth-provider, which the hub doesn't: use a token or a client certificate", current.AuthInfo)
	case user.TokenFile != "" || user.ClientCertificate != "" || user.ClientKey != "":
		return fmt.Errorf("user %q names files, which would be the hub's own: %s", current.AuthInfo, embed)
	case cluster.CertificateAuthority != "":
		return fmt.Errorf("cluster %q names a certificate-authority file, which would be the hub's own: %s", current.Cluster, embed)
	case cluster.InsecureSkipTLSVerify:
		return fmt.Errorf("cluster %q has insecure-skip-tls-verify, which would show the credentials to anybody: give certificate-authority-data", current.Cluster)
	}
	return nil
}

func reachable(server string) error {
	u, err := url.Parse(server)
	switch {
	case server == "":
		return errors.New("server is not set")
	case err != nil || u.Host == "":
		return fmt.Errorf("server %q is not a URL such as https://192.0.2.1:6443", server)
	case u.Scheme != "https":
		return fmt.Errorf("server %q is not https", server)
	case u.User != nil:
		return errors.New("server holds credentials: give a token or a client certificate of the user")
	}
	return nil
}

func loopback(server string) bool {
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && (address.Unmap().IsLoopback() || address.IsUnspecified())
}

func quoted(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(out, ", ")
}
