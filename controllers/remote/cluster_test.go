// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/test/apiserver"
)

var server *apiserver.Server

func TestMain(m *testing.M) { apiserver.Main(m, &server) }

var west = types.NamespacedName{Namespace: "default", Name: "west"}

func secretWith(t *testing.T, kubeconfig []byte) *corev1.Secret {
	t.Helper()
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "west-kubeconfig"}, Data: map[string][]byte{"kubeconfig": kubeconfig}}
}

func userKubeconfig(t *testing.T, name string, groups ...string) []byte {
	t.Helper()
	out, err := server.Kubeconfig(name, groups...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// farAway answers as an API server does to a user without rights, after a while,
// and gives that user's kubeconfig.
func farAway(t *testing.T) []byte {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodPost {
			<-time.After(90 * time.Millisecond)
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","status":{"allowed":false}}`)
			return
		}
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"apiVersion":"v1","kind":"Status","status":"Failure","reason":"Forbidden","code":403,"message":"no"}`)
	}))
	t.Cleanup(s.Close)
	ca := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	return []byte(kubeconfig(`"server":"`+s.URL+`","certificate-authority-data":"`+ca+`"`, goodUser))
}

// withoutNames lets no name be known until the test ends: the nameserver of the
// machine may answer late, or not at all.
func withoutNames(t *testing.T) {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{PacketConn: socket, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		_ = w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeNameError))
	})}
	go func() { _ = s.ActivateAndServe() }()
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", socket.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = before
		_ = socket.Close()
	})
}

func TestIdentify(t *testing.T) {
	withoutNames(t)
	good := userKubeconfig(t, "admin", "system:masters")
	dead, err := net.Listen("tcp", "127.0.0.1:0") // listens, and never answers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dead.Close() })
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	stranger := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(stranger.Close)

	tests := map[string]struct {
		kubeconfig []byte
		reason     string
		message    string
	}{
		"Good": {kubeconfig: good},
		"Nobody": {
			kubeconfig: []byte(strings.Replace(kubeconfig(`"server":"`+server.Config.Host+`","certificate-authority-data":"`+authority(t, good)+`"`, `"token":"wrong"`), "\n", "", -1)),
			reason:     v1alpha1.ReasonUnauthorized, message: "refuses the kubeconfig's credentials",
		},
		"NoRights": {kubeconfig: userKubeconfig(t, "nobody"), reason: v1alpha1.ReasonForbidden, message: "may not get,create,patch,delete namespaces; get,create,patch,delete customresourcedefinitions.apiextensions.k8s.io;"},
		"FarAway":  {kubeconfig: farAway(t), reason: v1alpha1.ReasonForbidden, message: "may not get,create,patch,delete namespaces; get,create,patch,delete customresourcedefinitions.apiextensions.k8s.io;"},
		"Refused": {
			kubeconfig: apiserver.PointedAt(t, good, "https://127.0.0.1:1"), reason: v1alpha1.ReasonAPIServerUnreachable,
			message: "no API server answers the hub at https://127.0.0.1:1: dial: connection refused; check that the address is right and that the hub's network reaches it",
		},
		"Silent":   {kubeconfig: apiserver.PointedAt(t, good, "https://"+dead.Addr().String()), reason: v1alpha1.ReasonAPIServerUnreachable, message: "no answer within 5s"},
		"NoTLS":    {kubeconfig: apiserver.PointedAt(t, good, "https://"+plain.Listener.Addr().String()), reason: v1alpha1.ReasonAPIServerUnreachable, message: "doesn't speak TLS"},
		"Stranger": {kubeconfig: apiserver.PointedAt(t, good, stranger.URL), reason: v1alpha1.ReasonAPIServerUntrusted, message: "not one that the kubeconfig trusts (x509: certificate signed by unknown authority"},
		"NoName":   {kubeconfig: apiserver.PointedAt(t, good, "https://west.invalid:6443"), reason: v1alpha1.ReasonAPIServerUnreachable, message: "the name west.invalid is not known to the hub's DNS"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clusters := &Clusters{AllowLoopback: true}
			cluster, err := clusters.Connect(west, secretWith(t, test.kubeconfig))
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			id, err := cluster.Identify(t.Context())
			// Far less than requestTimeout, and more than a busy machine needs.
			if took := time.Since(began); name == "Silent" && took > probeTimeout+10*time.Second {
				t.Errorf("took %s", took)
			}
			if test.reason == "" {
				if err != nil || id.UID == "" || !strings.HasPrefix(id.Version, "v1.") {
					t.Fatalf("got %+v, %v", id, err)
				}
				return
			}
			var known *Error
			if !errors.As(err, &known) || known.Reason != test.reason || !strings.Contains(known.Message, test.message) {
				t.Errorf("got  %#v\nwant %s %s", err, test.reason, test.message)
			}
			_, again := cluster.Identify(t.Context())
			if again == nil || again.Error() != known.Error() {
				t.Errorf("the message isn't stable: %q, then %v", known, again)
			}
		})
	}
}

// authority is the CA of a kubeconfig, as it stands in it.
func authority(t *testing.T, kubeconfig []byte) string {
	t.Helper()
	var config struct {
		Clusters []struct {
			Cluster struct {
				Data string `json:"certificate-authority-data"`
			} `json:"cluster"`
		} `json:"clusters"`
	}
	if err := yaml.Unmarshal(kubeconfig, &config); err != nil || len(config.Clusters) == 0 {
		t.Fatal(err)
	}
	return config.Clusters[0].Cluster.Data
}

func TestVersionSkew(t *testing.T) {
	for version, ok := range map[string]bool{"v1.36.3": true, "v1.29.0": true, "v1.30.1-eks-1234": true, "v1.28.9": false, "": false} {
		err := tooOld(version)
		if (err == nil) != ok {
			t.Errorf("tooOld(%q) = %v", version, err)
		}
	}
	want := "the cluster runs Kubernetes v1.28.9: a member needs v1.29.0 or newer"
	if err := tooOld("v1.28.9"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestCheckRights binds config/rbac/member.yaml, less one rule, to a user: the
// one that is missing is named; then whole.
func TestCheckRights(t *testing.T) {
	ctx := t.Context()
	admin, err := client.New(server.Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	whole, system := memberRoles(t)
	role := whole.DeepCopy()
	role.Rules = role.Rules[1:]
	system.Name += "-test"
	subject := []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "limited"}}
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "istio-system"}}, role, system,
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "limited"}, Subjects: subject,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		},
		&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: "limited"}, Subjects: subject,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: system.Name},
		},
	} {
		if err := admin.Create(ctx, o); err != nil {
			t.Fatal(err)
		}
	}
	cluster, err := (&Clusters{AllowLoopback: true}).Connect(west, secretWith(t, userKubeconfig(t, "limited")))
	if err != nil {
		t.Fatal(err)
	}
	want := "the kubeconfig's user may not get,create,patch,delete namespaces in the cluster: bind it to a role with these rights, as config/rbac/member.yaml has it"
	poll(t, func() error {
		if err := cluster.CheckRights(ctx, "istio-system"); err == nil || err.Error() != want {
			return fmt.Errorf("got  %w\nwant %s", err, want)
		}
		return nil
	})
	role.Rules = whole.Rules
	if err := admin.Update(ctx, role); err != nil {
		t.Fatal(err)
	}
	poll(t, func() error { return cluster.CheckRights(ctx, "istio-system") })
	if _, err := cluster.Identify(ctx); err != nil {
		t.Error(err)
	}
}

func memberRoles(t *testing.T) (cluster, system *rbacv1.ClusterRole) {
	t.Helper()
	roles := apiserver.ReadFile[rbacv1.ClusterRole](t, "config/rbac/member.yaml")
	if len(roles) != 2 {
		t.Fatalf("config/rbac/member.yaml has %d roles, want 2", len(roles))
	}
	return roles[0], roles[1]
}

// poll tries until there is no error: what RBAC says follows its objects after a moment.
func poll(t *testing.T, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// TestConnectFollowsTheSecret: a changed kubeconfig gives a new client, the
// same one the same, and a bad one leaves the last in reach.
func TestConnectFollowsTheSecret(t *testing.T) {
	clusters := &Clusters{AllowLoopback: true}
	first, err := clusters.Connect(west, secretWith(t, []byte(kubeconfig(goodServer, goodUser))))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := clusters.Connect(west, secretWith(t, []byte(kubeconfig(goodServer, goodUser)))); err != nil || again != first {
		t.Errorf("the same Secret gave another client (%v)", err)
	}
	changed, err := clusters.Connect(west, secretWith(t, []byte(kubeconfig(goodServer, `"token":"new"`))))
	if err != nil || changed == first {
		t.Errorf("a changed Secret gave the same client (%v)", err)
	}
	if _, err := clusters.Connect(west, secretWith(t, []byte("nonsense"))); err == nil {
		t.Error("nonsense gave a client")
	}
	if clusters.Last(west) != changed {
		t.Error("the last good client is lost")
	}
	clusters.Forget(west)
	if clusters.Last(west) != nil {
		t.Error("a forgotten member has a client")
	}
}
