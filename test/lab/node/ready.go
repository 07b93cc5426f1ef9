// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/isthmesh/isthmesh/test/lab/component"
	"github.com/isthmesh/isthmesh/test/lab/pki"
	corev1 "k8s.io/api/core/v1"
)

// questions are asked of a cluster that comes up, to know how far it is.
type questions struct {
	client             *http.Client
	etcd, server, node string
}

func newQuestions(spec component.Spec) (questions, error) {
	dir := spec.Dirs().Data("pki")
	ca, err := pki.Read(dir, pki.CA)
	if err != nil {
		return questions{}, err
	}
	admin, err := pki.Read(dir, pki.Admin)
	if err != nil {
		return questions{}, err
	}
	certificate, err := tls.X509KeyPair(admin.Cert, admin.Key)
	if err != nil {
		return questions{}, fmt.Errorf("admin's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.Cert)
	return questions{
		client: &http.Client{
			Timeout:   10 * time.Second,
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{certificate}}},
		},
		etcd: component.EtcdClients, server: spec.Server(), node: spec.Dirs().Node(),
	}, nil
}

func (q questions) etcdAnswers(ctx context.Context) error { return q.get(ctx, q.etcd+"/health", nil) }

func (q questions) apiReady(ctx context.Context) error { return q.get(ctx, q.server+"/readyz", nil) }

// nodeRegistered is nil when the kubelet has told of the node, and of its address.
func (q questions) nodeRegistered(ctx context.Context) error {
	var node corev1.Node
	if err := q.get(ctx, q.server+"/api/v1/nodes/"+q.node, &node); err != nil {
		return err
	}
	for _, address := range node.Status.Addresses {
		if address.Type == corev1.NodeInternalIP {
			return nil
		}
	}
	return fmt.Errorf("node %s has no address yet", q.node)
}

// get is nil when the answer is 200; it reads the answer into a value, if there is one.
func (q questions) get(ctx context.Context, url string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := q.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(into)
}

// until asks again and again until the answer is nil. It has no limit: whoever
// starts the node has one.
func until(ctx context.Context, reached func(context.Context) error) error {
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		if reached(ctx) == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-poll.C:
		}
	}
}
