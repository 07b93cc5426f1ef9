// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/spf13/cobra"
	"helm.sh/helm/v4/pkg/strvals"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controllers/install"
)

// release is a chart with the name and the namespace that `helm install` would be given.
type release struct{ name, chart, namespace string }

// bundles are what can be installed by one word, in the order that works.
var bundles = map[string][]release{
	"hub": {{"isthmesh-hub", install.Hub, "isthmesh-system"}},
	"mesh": {
		{"istio-base", install.Base, "istio-system"},
		{"istiod", install.Istiod, "istio-system"},
		{"istio-ingressgateway", install.Gateway, "istio-system"},
	},
}

// cliOwner marks what the command line installs in the inventory.
const cliOwner = "isthmesh-cli"

func bundleNames() string { return strings.Join(slices.Sorted(maps.Keys(bundles)), ", ") }

type installOptions struct {
	set     []string
	files   []string
	dryRun  bool
	wait    bool
	timeout time.Duration
}

func newInstallCommand(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	var o installOptions
	cmd := &cobra.Command{
		Use:   "install {hub|mesh}",
		Short: "Install the operator on a hub, or a mesh of one cluster without a hub",
		Long: "Install the charts that helm install, Argo CD and Flux use, too: the operator (hub), or, for a cluster on its own,\n" +
			"the control plane and an ingress gateway (mesh). It is idempotent: run it again to change values.\n" +
			"The values of a mesh stand under the names of its charts: base, istiod and gateway.",
		Example: "  isthmesh install hub --wait\n  isthmesh install mesh --set istiod.meshConfig.accessLogFile=/dev/stdout\n  isthmesh install hub --dry-run > hub.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args[0], streams, access)
		},
	}
	cmd.Flags().StringArrayVar(&o.set, "set", nil, "a value of the chart, as helm takes it (key=value)")
	cmd.Flags().StringArrayVarP(&o.files, "values", "f", nil, "a file of values")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "print the objects instead of applying them")
	cmd.Flags().BoolVar(&o.wait, "wait", false, "wait until what was installed is ready")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 5*time.Minute, "how long --wait waits")
	return cmd
}

func (o *installOptions) run(ctx context.Context, bundle string, streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) error {
	values, err := readValues(o.files, o.set)
	if err != nil {
		return err
	}
	sets, err := render(bundle, values, access, o.dryRun)
	if err != nil {
		return err
	}
	if o.dryRun {
		return printObjects(streams.Out, sets)
	}
	c, err := anyClient(access)
	if err != nil {
		return err
	}
	for _, set := range sets {
		result, err := install.Apply(ctx, c, set)
		if err != nil {
			return err
		}
		report(streams.Out, set, result)
	}
	if !o.wait {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	return awaitReady(ctx, c, sets, streams.ErrOut)
}

// render renders the charts of a bundle, one set a namespace.
func render(bundle string, values map[string]any, access *genericclioptions.ConfigFlags, offline bool) ([]install.Set, error) {
	releases, ok := bundles[bundle]
	if !ok {
		return nil, fmt.Errorf("unknown bundle %q: use one of %s", bundle, bundleNames())
	}
	perChart, err := valuesOf(bundle, values)
	if err != nil {
		return nil, err
	}
	version := ""
	if !offline {
		if version, err = serverVersion(access); err != nil {
			return nil, err
		}
	}
	var sets []install.Set
	for _, r := range releases {
		namespace := r.namespace
		if given := *access.Namespace; given != "" {
			namespace = given
		}
		objects, err := install.Render(r.chart, perChart[r.chart], r.name, namespace, version)
		if err != nil {
			return nil, err
		}
		if n := len(sets); n > 0 && sets[n-1].Namespace == namespace {
			sets[n-1].Objects = append(sets[n-1].Objects, objects...)
			continue
		}
		sets = append(sets, install.Set{Owner: cliOwner + "-" + bundle, Label: cliOwner, Namespace: namespace, Objects: objects})
	}
	return sets, nil
}

// valuesOf gives each chart its own: all values where the bundle is one chart,
// else what stands under the chart's name.
func valuesOf(bundle string, values map[string]any) (map[string]map[string]any, error) {
	releases := bundles[bundle]
	if len(releases) == 1 {
		return map[string]map[string]any{releases[0].chart: values}, nil
	}
	out := map[string]map[string]any{}
	for _, r := range releases {
		out[r.chart] = nil
	}
	for key, value := range values {
		if _, known := out[key]; !known {
			return nil, fmt.Errorf("value %q: the values of %q stand under the names of its charts, %s", key, bundle, strings.Join(slices.Sorted(maps.Keys(out)), ", "))
		}
		own, ok := value.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("value %q: want the values of chart %s, not %v", key, key, value)
		}
		out[key] = own
	}
	return out, nil
}

func printObjects(out io.Writer, sets []install.Set) error {
	for _, set := range sets {
		for _, o := range set.Objects {
			text, err := yaml.Marshal(o.Object)
			if err != nil {
				return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
			}
			if _, err := fmt.Fprintf(out, "---\n%s", text); err != nil {
				return err
			}
		}
	}
	return nil
}

func report(out io.Writer, set install.Set, r install.Result) {
	for _, o := range r.Changed {
		fmt.Fprintln(out, "applied", o)
	}
	for _, o := range r.Pruned {
		fmt.Fprintln(out, "removed", o)
	}
	if len(r.Changed)+len(r.Pruned) == 0 {
		fmt.Fprintf(out, "namespace %s is up to date: %d objects\n", set.Namespace, len(set.Objects))
	}
}

// awaitReady waits until every object is what kstatus calls current.
func awaitReady(ctx context.Context, c client.Client, sets []install.Set, progress io.Writer) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	said := ""
	for {
		waiting, err := notReady(ctx, c, sets)
		if err == nil && waiting == "" {
			return nil
		}
		if err == nil && waiting != said {
			said = waiting
			fmt.Fprintln(progress, "waiting for", waiting)
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("not ready in time: %s", said), err)
		case <-tick.C:
		}
	}
}

// notReady describes the first object that isn't ready, "" when all are.
func notReady(ctx context.Context, c client.Client, sets []install.Set) (string, error) {
	for _, set := range sets {
		for _, want := range set.Objects {
			have := &unstructured.Unstructured{}
			have.SetGroupVersionKind(want.GroupVersionKind())
			if err := c.Get(ctx, client.ObjectKeyFromObject(want), have); err != nil {
				return "", fmt.Errorf("read %s %s: %w", want.GetKind(), want.GetName(), err)
			}
			result, err := status.Compute(have)
			if err != nil {
				return "", fmt.Errorf("status of %s %s: %w", want.GetKind(), want.GetName(), err)
			}
			if result.Status != status.CurrentStatus {
				return fmt.Sprintf("%s %s: %s", want.GetKind(), want.GetName(), result.Message), nil
			}
		}
	}
	return "", nil
}

// readValues reads files, then key=value pairs over them.
func readValues(files, pairs []string) (map[string]any, error) {
	values := map[string]any{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--values: %w", err)
		}
		if err := yaml.UnmarshalStrict(text, &values); err != nil {
			return nil, fmt.Errorf("--values %s: %w", file, err)
		}
	}
	for _, pair := range pairs {
		if err := strvals.ParseInto(pair, values); err != nil {
			return nil, fmt.Errorf("--set %s: %w", pair, err)
		}
	}
	return values, nil
}

func serverVersion(access *genericclioptions.ConfigFlags) (string, error) {
	cfg, err := access.ToRESTConfig()
	if err != nil {
		return "", fmt.Errorf("kubeconfig: %w", err)
	}
	d, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return "", fmt.Errorf("reach the API server %s: %w", cfg.Host, err)
	}
	v, err := d.ServerVersion()
	if err != nil {
		return "", fmt.Errorf("reach the API server %s: %w", cfg.Host, err)
	}
	return v.GitVersion, nil
}

// anyClient makes a client for objects of every kind.
func anyClient(access *genericclioptions.ConfigFlags) (client.Client, error) {
	cfg, err := access.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	c, err := client.New(cfg, client.Options{})
	if err != nil {
		return nil, fmt.Errorf("reach the API server %s: %w", cfg.Host, err)
	}
	return c, nil
}
