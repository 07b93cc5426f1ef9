// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"errors"
	"strings"
	"testing"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
)

// kubeconfig makes one whose cluster and user have the given fields.
func kubeconfig(cluster, user string) string {
	return `{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"west","user":"hub"}}],` +
		`"clusters":[{"name":"west","cluster":{` + cluster + `}}],"users":[{"name":"hub","user":{` + user + `}}]}`
}

const (
	goodServer = `"server":"https://192.0.2.1:6443"`
	goodUser   = `"token":"s3cret"`
)

func TestKubeconfig(t *testing.T) {
	tests := map[string]struct {
		data            map[string]string
		loopback        bool
		reason, message string
	}{
		"Good":        {data: map[string]string{"kubeconfig": kubeconfig(goodServer, goodUser)}},
		"ClusterAPI":  {data: map[string]string{"value": kubeconfig(goodServer, goodUser)}},
		"LoopbackHub": {data: map[string]string{"value": kubeconfig(`"server":"https://127.0.0.1:6443"`, goodUser)}, loopback: true},
		"NoKey": {
			data: map[string]string{"config": "x", "a": "y"}, reason: v1alpha1.ReasonKubeconfigInvalid,
			message: `Secret "west": there is no key "kubeconfig" (or "value", as Cluster API has it) with a kubeconfig in it; it has "a", "config"`,
		},
		"Empty": {
			data: map[string]string{"kubeconfig": ""}, reason: v1alpha1.ReasonKubeconfigInvalid,
			message: `Secret "west": there is no key "kubeconfig" (or "value", as Cluster API has it) with a kubeconfig in it; it has "kubeconfig"`,
		},
		"NotYAML": {
			data: map[string]string{"kubeconfig": "a: b: s3cret"}, reason: v1alpha1.ReasonKubeconfigInvalid,
			message: `Secret "west": key "kubeconfig" is not a kubeconfig: yaml: mapping values are not allowed in this context`,
		},
		"WrongShape": {
			data: map[string]string{"kubeconfig": `{"clusters":"s3cret"}`}, reason: v1alpha1.ReasonKubeconfigInvalid,
			message: `Secret "west": key "kubeconfig" is not a kubeconfig: json: cannot unmarshal string into Go struct field Config.clusters of type []v1.NamedCluster`,
		},
		"OtherKind": {
			data: map[string]string{"kubeconfig": `{"apiVersion":"v1","kind":"Secret"}`}, reason: v1alpha1.ReasonKubeconfigInvalid,
			message: `Secret "west": key "kubeconfig" is not a kubeconfig: it has apiVersion "v1", kind "Secret"`,
		},
		"NoCluster": {
			data: map[string]string{"kubeconfig": `{"apiVersion":"v1","kind":"Config"}`}, reason: v1alpha1.ReasonKubeconfigInvalid,
			message: `Secret "west": key "kubeconfig" is not a kubeconfig: it names no cluster`,
		},
		"OtherContext": {
			data: map[string]string{"kubeconfig": strings.Replace(kubeconfig(goodServer, goodUser), `"current-context":"c"`, `"current-context":"d"`, 1)}, reason: v1alpha1.ReasonKubeconfigInvalid,
			message: `Secret "west": key "kubeconfig" is not a kubeconfig: current-context "d" is not among its contexts, which are "c"`,
		},
		"NoContext": {
			data: map[string]string{"kubeconfig": strings.Replace(kubeconfig(goodServer, goodUser), `"current-context":"c",`, ``, 1)}, reason: v1alpha1.ReasonKubeconfigInvalid,
			message: `Secret "west": key "kubeconfig" is not a kubeconfig: current-context is not set; set it to one of "c"`,
		},
		"Exec": {
			data: map[string]string{"kubeconfig": kubeconfig(goodServer, `"exec":{"apiVersion":"client.authentication.k8s.io/v1","command":"aws","interactiveMode":"Never"}`)}, reason: v1alpha1.ReasonKubeconfigInvalid,
			message: `Secret "west": key "kubeconfig": user "hub" runs a program (exec), which the hub never does: use a token or a client certificate`,
		},
		"AuthProvider": {
			data: map[string]string{"kubeconfig": kubeconfig(goodServer, `"auth-provider":{"name":"oidc"}`)}, reason: v1alpha1.ReasonKubeconfigInvalid,
			message: `Secret "west": key "kubeconfig": user "hub" uses an auth-provider, which the hub doesn't: use a token or a client certificate`,
		},
		"TokenFile": {
			data: map[string]string{"kubeconfig": kubeconfig(goodServer, `"tokenFile":"/var/run/secrets/kubernetes.io/serviceaccount/token"`)}, reason: v1alpha1.ReasonKubeconfigInvalid,
			message: "Secret \"west\": key \"kubeconfig\": user \"hub\" names files, which would be the hub's own: put the content itself into the kubeconfig, as `kubectl config view --flatten --minify` does",
		},
		"CAFile": {
			data: map[string]string{"kubeconfig": kubeconfig(goodServer+`,"certificate-authority":"/etc/passwd"`, goodUser)}, reason: v1alpha1.ReasonKubeconfigInvalid,
			message: "Secret \"west\": key \"kubeconfig\": cluster \"west\" names a certificate-authority file, which would be the hub's own: put the content itself into the kubeconfig, as `kubectl config view --flatten --minify` does",
		},
		"Insecure": {
			data: map[string]string{"kubeconfig": kubeconfig(goodServer+`,"insecure-skip-tls-verify":true`, goodUser)}, reason: v1alpha1.ReasonKubeconfigInvalid,
			message: `Secret "west": key "kubeconfig": cluster "west" has insecure-skip-tls-verify, which would show the credentials to anybody: give certificate-authority-data`,
		},
		"NoServer": {
			data: map[string]string{"kubeconfig": kubeconfig(``, goodUser)}, reason: v1alpha1.ReasonKubeconfigInvalid,
			message: `Secret "west": key "kubeconfig": cluster "west": server is not set`,
		},
		"HTTP": {
			data: map[string]string{"kubeconfig": kubeconfig(`"server":"http://192.0.2.1"`, goodUser)}, reason: v1alpha1.ReasonKubeconfigInvalid,
			message: `Secret "west": key "kubeconfig": cluster "west": server "http://192.0.2.1" is not https`,
		},
		"Password": {
			data: map[string]string{"kubeconfig": kubeconfig(`"server":"https://u:s3cret@192.0.2.1"`, goodUser)}, reason: v1alpha1.ReasonKubeconfigInvalid,
			message: `Secret "west": key "kubeconfig": cluster "west": server holds credentials: give a token or a client certificate of the user`,
		},
		"Loopback": {
			data: map[string]string{"kubeconfig": kubeconfig(`"server":"https://127.0.0.1:41237"`, goodUser)}, reason: v1alpha1.ReasonLoopbackAPIServer,
			message: "Secret \"west\", key \"kubeconfig\": the server https://127.0.0.1:41237 is an address that only its own machine reaches, and the hub is not there: give an address that the hub reaches; for a kind cluster: `kind get kubeconfig --internal --name <cluster>`",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			data := map[string][]byte{}
			for k, v := range test.data {
				data[k] = []byte(v)
			}
			config, err := Kubeconfig("west", data, test.loopback)
			if test.reason == "" {
				if err != nil || config.BearerToken != "s3cret" {
					t.Fatalf("got %v, want a config", err)
				}
				return
			}
			var known *Error
			if !errors.As(err, &known) {
				t.Fatalf("got %v, want an Error", err)
			}
			if known.Reason != test.reason || known.Message != test.message {
				t.Errorf("got  %s %s\nwant %s %s", known.Reason, known.Message, test.reason, test.message)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Error("the error shows what the kubeconfig holds")
			}
		})
	}
}

func TestLoopback(t *testing.T) {
	for server, want := range map[string]bool{
		"https://127.0.0.1:6443": true, "https://127.8.9.1": true, "https://localhost:6443": true, "https://LOCALHOST.": true,
		"https://[::1]:6443": true, "https://[::ffff:127.0.0.1]:1": true, "https://0.0.0.0:6443": true, "https://a.localhost": true,
		"https://192.0.2.1": false, "https://localhost.example": false, "https://[2001:db8::1]": false,
	} {
		if got := loopback(server); got != want {
			t.Errorf("loopback(%s) = %v", server, got)
		}
	}
}
