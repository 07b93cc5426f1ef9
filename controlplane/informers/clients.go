// SPDX-License-Identifier: Apache-2.0

package informers

import (
	"fmt"

	istio "istio.io/client-go/pkg/clientset/versioned"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	mcs "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"
)

// Clients are the clients that are read from.
type Clients struct {
	Kubernetes kubernetes.Interface
	Istio      istio.Interface
	MCS        mcs.Interface
	Metadata   metadata.Interface
	// Dynamic reads custom resources.
	Dynamic dynamic.Interface
}

// NewClients makes the clients of one API server. Kubernetes' own kinds come
// in protobuf, which costs far less to read than JSON.
func NewClients(cfg *rest.Config) (Clients, error) {
	var c Clients
	var err error
	binary := rest.CopyConfig(cfg)
	binary.ContentType = runtime.ContentTypeProtobuf
	binary.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	if c.Kubernetes, err = kubernetes.NewForConfig(binary); err != nil {
		return c, fmt.Errorf("make the Kubernetes client: %w", err)
	}
	if c.Istio, err = istio.NewForConfig(cfg); err != nil {
		return c, fmt.Errorf("make the client for Istio's kinds: %w", err)
	}
	if c.MCS, err = mcs.NewForConfig(cfg); err != nil {
		return c, fmt.Errorf("make the client for the multi-cluster services kinds: %w", err)
	}
	if c.Metadata, err = metadata.NewForConfig(cfg); err != nil {
		return c, fmt.Errorf("make the metadata client: %w", err)
	}
	if c.Dynamic, err = dynamic.NewForConfig(cfg); err != nil {
		return c, fmt.Errorf("make the client for custom resources: %w", err)
	}
	return c, nil
}
