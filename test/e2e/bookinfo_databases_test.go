// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// machineNamespace is where upstream's manifest has a database that runs on a
// machine outside the cluster.
const machineNamespace = "vm"

// Version 2 of ratings, with the stars out of MongoDB, of MySQL, and of MySQL on
// a machine outside the cluster. The stars on the page are those in the database:
// a changed row changes them. Both databases take mutual TLS only.
func (b *bookinfo) databases(t *testing.T) {
	// What these files delete in the end is part of the store, too.
	t.Cleanup(func() { b.again(t) })
	b.config(t, "networking/bookinfo-gateway.yaml", "networking/destination-rule-all.yaml", "platform/kube/bookinfo-ratings-discovery.yaml",
		"platform/kube/bookinfo-db.yaml", "platform/kube/bookinfo-ratings-v2.yaml",
		"platform/kube/bookinfo-mysql.yaml", "platform/kube/bookinfo-ratings-v2-mysql.yaml", "platform/kube/bookinfo-ratings-v2-mysql-vm.yaml")
	apply(t, "west", bookinfoStrict)
	b.machine(t)
	b.available(t, "west")
	const (
		change = "update ratings set rating=%d where reviewid=1; select * from ratings;"
		client = "mysql -u root -ppassword test -e"
	)
	for _, c := range []struct {
		name, file string
		// database is the pod and container, shell the client in it.
		namespace, database, shell, statement string
		// The first reviewer's stars before and after.
		stars [2]int
	}{
		{"MongoDB", "ratings-db", bookinfoNamespace, "deployment/mongodb-v1", "mongosh test --eval", `db.ratings.updateOne({"rating": 5}, {"$set": {"rating": 1}})`, [2]int{5, 1}},
		{"MySQL", "ratings-mysql", bookinfoNamespace, "deployment/mysqldb-v1", client, fmt.Sprintf(change, 2), [2]int{5, 2}},
		{"MySQLOnMachine", "ratings-mysql-vm", machineNamespace, "pod/machine", client, fmt.Sprintf(change, 3), [2]int{5, 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b.config(t, "networking/virtual-service-"+c.file+".yaml")
			v := b.visitor(t, "")
			shows := func(first int) func() error { return func() error { return v.seesStars(t.Context(), first, 4) } }
			eventually(t, patience, "the stars of the database", shows(c.stars[0]))
			statement := append(strings.Fields(c.shell), c.statement)
			kubectl(t, "west", append([]string{"-n", c.namespace, "exec", c.database, "--"}, statement...)...)
			// The first version has other stars, so that none of these came from it.
			eventually(t, patience, "the changed row", shows(c.stars[1]))
			inARow(t, 25, "the changed row", shows(c.stars[1]))
		})
	}
	t.Run("MachineLeaves", func(t *testing.T) {
		kubectl(t, "west", "-n", machineNamespace, "delete", "pod", "machine")
		eventually(t, patience, "the entry of the machine goes", machines(t, ""))
	})
	t.Run("Identities", b.databasesByIdentity)
	t.Run("Gone", func(t *testing.T) {
		b.config(t, "networking/virtual-service-ratings-mysql.yaml")
		b.kubectl(t, "west", "scale", "deployment", "mysqldb-v1", "--replicas=0")
		v := b.visitor(t, "")
		eventually(t, patience, "reviews without stars", func() error {
			p, err := v.see(t.Context(), "/productpage")
			if err == nil && (p.version != "v3" || p.stars != "none" || !p.has("Ratings service is currently unavailable")) {
				err = fmt.Errorf("reviews %q with %s stars", p.version, p.stars)
			}
			return err
		})
		eventually(t, patience, "ratings tells why", func() error {
			out := b.kubectl(t, "west", "exec", "deployment/curl", "-c", "curl", "--", "curl", "-sS", "-w", " %{http_code}", "http://ratings:9080/ratings/0")
			if want := `{"error":"could not connect to ratings database"} 500`; out != want {
				return fmt.Errorf("ratings answers %s, want %s", out, want)
			}
			return nil
		})
	})
}

// machine makes a MySQL server on what is a machine for the mesh: a pod that isn't
// injected and that no Service knows, with the files that isthmesh workload
// configure writes. It registers itself, and counts as soon as its probe says so.
func (b *bookinfo) machine(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	west := []string{"--kubeconfig", kubeconfig("west")}
	apply := func(objects string) {
		t.Helper()
		if _, err := run(ctx, objects, "kubectl", append(west, "apply", "-f", "-")...); err != nil {
			t.Fatal(err)
		}
	}
	apply(databaseGroup)
	dir := t.TempDir()
	eventually(t, patience, "the machine's files", func() error {
		_, err := run(ctx, "", "isthmesh", append(west, "workload", "configure", "--name", "mysqldb", "--namespace", machineNamespace, "-o", dir, "--autoregister")...)
		return err
	})
	kubectl(t, "west", "-n", machineNamespace, "create", "secret", "generic", "machine", "--from-file="+dir)
	apply(databaseMachine)
	kubectl(t, "west", "-n", machineNamespace, "wait", "--for=condition=Ready", "pod/machine", "--timeout=10m")
	eventually(t, patience, "the machine is registered and probed", machines(t, "mysqldb True"))
}

// machines is nil if those that registered are as wanted: each the group it is
// of, and whether it is healthy.
func machines(t *testing.T, want string) func() error {
	const each = `{range .items[*]}{.metadata.ownerReferences[0].name} {.status.conditions[?(@.type=="Healthy")].status}{end}`
	return func() error {
		got, err := try(t, "west", "-n", machineNamespace, "get", "workloadentries", "-o", "jsonpath="+each)
		if err == nil && got != want {
			err = fmt.Errorf("machines %q, want %q", got, want)
		}
		return err
	}
}

// databasesByIdentity wants the databases to know who connects, which only
// mutual TLS can tell: a policy that names version 2 keeps another workload of
// the mesh out and changes nothing for version 2, and who is not in the mesh
// never gets in.
func (b *bookinfo) databasesByIdentity(t *testing.T) {
	mysql := func(from ...string) func() error {
		return fails(t, append(from, "mysql", "-h", "mysqldb."+bookinfoNamespace, "-u", "root", "-ppassword", "--connect-timeout=3", "test", "-e", "select * from ratings"))
	}
	mongo := func(from ...string) func() error {
		return fails(t, append(from, "mongosh", "mongodb://mongodb."+bookinfoNamespace+":27017/test?serverSelectionTimeoutMS=2000", "--eval", "db.ratings.find()"))
	}
	outside := []string{"-n", outsideNamespace, "exec", "deployment/books", "--"}
	inside := []string{"-n", bookinfoNamespace, "exec", "deployment/curl", "-c", "curl", "--"}
	for _, c := range []struct {
		file, app, account string
		refuses            func(from ...string) func() error
		stars              int
	}{
		{"ratings-db", "mongodb", "bookinfo-ratings-v2", mongo, 1},
		{"ratings-mysql", "mysqldb", "default", mysql, 2},
	} {
		if err := c.refuses(outside...)(); err != nil {
			t.Errorf("%s, from outside the mesh: %v", c.app, err)
		}
		b.config(t, "networking/virtual-service-"+c.file+".yaml")
		eventually(t, patience, c.app+" answers a workload of the mesh without a policy", func() error {
			if c.refuses(inside...)() == nil {
				return errors.New("it refuses")
			}
			return nil
		})
		apply(t, "west", fmt.Sprintf(databasePolicy, c.app, c.account))
		eventually(t, patience, c.app+" refuses another identity", c.refuses(inside...))
		v := b.visitor(t, "")
		eventually(t, patience, c.app+" answers version 2", func() error { return v.seesStars(t.Context(), c.stars, 4) })
	}
}

// fails is nil if a command in a pod does not succeed.
func fails(t *testing.T, command []string) func() error {
	return func() error {
		if out, err := try(t, "west", command...); err == nil {
			return fmt.Errorf("it answers: %s", out)
		}
		return nil
	}
}

var starsOnPage = regexp.MustCompile(`id="glyphicon glyphicon-star"`)

// seesStars is nil if the next page has reviews version 3, and as many stars as
// the reviewers give together.
func (v visitor) seesStars(ctx context.Context, stars ...int) error {
	p, err := v.see(ctx, "/productpage")
	if err != nil {
		return err
	}
	want := 0
	for _, n := range stars {
		want += n
	}
	if got := len(starsOnPage.FindAllString(p.body, -1)); p.version != "v3" || got != want {
		return fmt.Errorf("reviews %q with %d stars, want v3 with %d", p.version, got, want)
	}
	return nil
}

const databaseGroup = `
apiVersion: v1
kind: Namespace
metadata: {name: vm}
---
apiVersion: v1
kind: Service
metadata: {name: mysqldb, namespace: vm}
spec:
  ports: [{name: mysql, port: 3306}]
  selector: {app: mysqldb}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: mysqldb, namespace: vm}
spec:
  metadata: {labels: {app: mysqldb}}
  template: {ports: {mysql: 3306}, serviceAccount: default}
  probe: {tcpSocket: {port: 3306}, periodSeconds: 1}
`

// databaseMachine has the files where a machine has them. Its name is not that of
// the host, so that nobody takes it for the pod that it is.
const databaseMachine = `
apiVersion: v1
kind: Pod
metadata: {name: machine, namespace: vm}
spec:
  hostname: db-1
  terminationGracePeriodSeconds: 10
  initContainers:
    - name: redirect
      image: isthmesh/proxy:dev
      args: [redirect]
      securityContext: {runAsUser: 0, runAsGroup: 0, capabilities: {add: [NET_ADMIN, NET_RAW]}}
      volumeMounts:
        - {name: files, mountPath: /var/lib/istio/envoy/cluster.env, subPath: cluster.env}
        - {name: files, mountPath: /etc/istio/config/mesh, subPath: mesh.yaml}
  containers:
    - name: mysqldb
      image: isthmesh/samples:dev
      command: [/usr/local/bin/databases, mysqldb]
      env: [{name: MYSQL_ROOT_PASSWORD, value: password}]
    - name: agent
      image: isthmesh/proxy:dev
      args: [proxy, sidecar]
      readinessProbe: {httpGet: {path: /healthz/ready, port: 15021}, periodSeconds: 1, failureThreshold: 60}
      volumeMounts:
        - {name: files, mountPath: /var/lib/istio/envoy/cluster.env, subPath: cluster.env}
        - {name: files, mountPath: /etc/istio/config/mesh, subPath: mesh.yaml}
        - {name: files, mountPath: /var/run/secrets/tokens/istio-token, subPath: istio-token}
        - {name: certificates, mountPath: /etc/certs}
        - {name: files, mountPath: /etc/certs/root-cert.pem, subPath: root-cert.pem}
        - {name: proxy, mountPath: /etc/istio/proxy}
  volumes:
    - name: files
      secret: {secretName: machine}
    - name: certificates
      emptyDir: {}
    - name: proxy
      emptyDir: {}
`

const databasePolicy = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: %[1]s, namespace: bookinfo}
spec:
  selector: {matchLabels: {app: %[1]s}}
  rules:
    - from: [{source: {principals: [west.shop.example/ns/bookinfo/sa/%[2]s]}}]
`
