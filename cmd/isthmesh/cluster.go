// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/isthmesh/isthmesh/controlplane/informers"
	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// clusterOptions say which cluster is read, and how.
type clusterOptions struct {
	// root is the control plane's namespace.
	root, revision string
	timeout        time.Duration
	// credentials says which Secrets and ConfigMaps are read, too; nil reads none.
	credentials func(ingest.Input) []model.CredentialRef
}

// clusterState is what was read of a cluster.
type clusterState struct {
	input ingest.Input
	// denied are resources that the user may not list; missing are kinds that
	// the cluster doesn't have, by their CRDs.
	denied, missing []string
}

// read what a mesh is made of, with the user's rights, by the control plane's
// own reader.
func (o clusterOptions) read(ctx context.Context, access *genericclioptions.ConfigFlags) (clusterState, error) {
	config, err := access.ToRESTConfig()
	if err != nil {
		return clusterState{}, fmt.Errorf("read the kubeconfig: %w; name one with --kubeconfig and --context, or objects with -f", err)
	}
	config.QPS, config.Burst = 100, 200
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("%v are over; give it longer with --wait", o.timeout))
	defer cancel()
	if err := reach(config, o.timeout); err != nil {
		return clusterState{}, err
	}
	clients, err := informers.NewClients(config)
	if err != nil {
		return clusterState{}, err
	}
	set, err := informers.New(clients, o.root, o.revision)
	if err != nil {
		return clusterState{}, err
	}
	// What may not be read is said once, and not for each try.
	ctx = klog.NewContext(ctx, klog.Logger{})
	running, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); set.Run(running) }()
	defer func() { stop(); <-done }()
	var out clusterState
	if out.denied, err = set.WaitAnswered(ctx); err != nil {
		return clusterState{}, fmt.Errorf("read the cluster at %s: %w", config.Host, err)
	}
	out.input, out.missing = set.Objects(), set.Missing()
	if o.credentials == nil || len(out.denied) > 0 {
		return out, nil
	}
	err = set.Refer(running, o.credentials(out.input))
	if err != nil {
		return clusterState{}, err
	}
	hidden, err := set.WaitReferred(ctx)
	if err != nil {
		return clusterState{}, fmt.Errorf("read the cluster at %s: %w", config.Host, err)
	}
	out.input = set.Objects()
	all := slices.Clone(out.input.Credentials)
	for _, r := range hidden {
		all = append(all, &model.Credential{CredentialRef: r, Invalid: unseen})
	}
	slices.SortFunc(all, func(a, b *model.Credential) int { return a.Compare(b.CredentialRef) })
	out.input.Credentials = all
	return out, nil
}

// unseen is what is said of a Secret that the user may not read.
const unseen = "you have no right to read it, so nothing is known of it here; the object's own status has what the control plane says"

// reach the API server, so that one that isn't there is told as that.
func reach(config *rest.Config, timeout time.Duration) error {
	once := rest.CopyConfig(config)
	once.Timeout = timeout
	client, err := kubernetes.NewForConfig(once)
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	switch _, err = client.Discovery().ServerVersion(); {
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("the API server %s doesn't take the kubeconfig's credentials; renew them, or choose others with --context or --user", config.Host)
	case err != nil && !apierrors.IsForbidden(err):
		return fmt.Errorf("reach the API server %s: %w; is it the right --context?", config.Host, err)
	}
	return nil
}

// deniedError says what the user may not list, and what mends it.
func deniedError(resources []string, root string) error {
	var where []string
	for _, r := range resources {
		if r == "configmaps" {
			r = "configmaps of namespace " + root
		}
		where = append(where, r)
	}
	return fmt.Errorf("you have no right to list %s; have it granted (ClusterRole, verbs list and watch), or give the objects with -f", strings.Join(where, ", "))
}

// meshInput of files if there are any, else of the cluster.
func meshInput(ctx context.Context, files []string, in io.Reader, o clusterOptions, access *genericclioptions.ConfigFlags) (clusterState, error) {
	if len(files) == 0 {
		return o.read(ctx, access)
	}
	objects, err := (&translateOptions{files: files}).read(in)
	if err != nil {
		return clusterState{}, err
	}
	return clusterState{input: objects.Input}, nil
}

// namespaceOf the flags and the kubeconfig.
func namespaceOf(access *genericclioptions.ConfigFlags) string {
	if access.Namespace != nil && *access.Namespace != "" {
		return *access.Namespace
	}
	namespace, _, err := access.ToRawKubeConfigLoader().Namespace()
	if err != nil || namespace == "" {
		return "default"
	}
	return namespace
}
