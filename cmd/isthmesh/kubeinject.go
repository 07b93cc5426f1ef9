// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"

	"github.com/isthmesh/isthmesh/controlplane/inject"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

type kubeInjectOptions struct {
	filename, output                           string
	injectConfigFile, meshConfigFile, valuesOf string
	proxyConfigFiles                           []string
	revision                                   string
}

func newKubeInjectCommand(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	var o kubeInjectOptions
	cmd := &cobra.Command{
		Use:   "kube-inject -f FILE",
		Short: "Put sidecars into the manifests of a file, as the webhook does into pods",
		Long: "Put sidecars into the manifests of a file, as the webhook does into pods.\n" +
			"The configuration comes from the cluster's ConfigMaps istio-sidecar-injector and istio, or, offline, from files of their keys;\n" +
			"ProxyConfigs from the cluster, or from files of them.",
		Example: "  kubectl apply -f <(isthmesh kube-inject -f app.yaml)",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), streams, access)
		},
	}
	cmd.Flags().StringVarP(&o.filename, "filename", "f", "", "the manifests; - for standard input")
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "where to write; standard output by default")
	cmd.Flags().StringVar(&o.injectConfigFile, "injectConfigFile", "", "file of the key config of ConfigMap istio-sidecar-injector")
	cmd.Flags().StringVar(&o.valuesOf, "valuesFile", "", "file of the key values of ConfigMap istio-sidecar-injector")
	cmd.Flags().StringVar(&o.meshConfigFile, "meshConfigFile", "", "file of the key mesh of ConfigMap istio")
	cmd.Flags().StringArrayVar(&o.proxyConfigFiles, "proxyConfigFile", nil, "file of ProxyConfigs, instead of the cluster's; may be given more than once")
	cmd.Flags().StringVar(&o.revision, "revision", "", "revision of the control plane")
	return cmd
}

func (o *kubeInjectOptions) run(ctx context.Context, streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) error {
	if o.filename == "" {
		return errors.New("give the manifests: --filename FILE, or --filename - for standard input")
	}
	in, err := readInput(o.filename, streams.In)
	if err != nil {
		return fmt.Errorf("--filename: %w", err)
	}
	config, err := o.config(ctx, access)
	if err != nil {
		return err
	}
	warn := func(w string) { fmt.Fprintln(streams.ErrOut, "warning:", w) }
	offline := o.injectConfigFile != "" && o.meshConfigFile != ""
	var problems []model.Problem
	if config.ProxyConfigs, problems, err = o.proxyConfigs(ctx, access, offline, config); err != nil {
		return err
	}
	for _, p := range problems {
		warn(fmt.Sprintf("%s %s/%s: field %s: %s", p.Kind, p.Namespace, p.Name, p.Field, p.Message))
	}
	out, err := inject.Resource(in, config, warn)
	if err != nil {
		return fmt.Errorf("%s: %w", o.filename, err)
	}
	if o.output == "" {
		_, err = streams.Out.Write(out)
		return err
	}
	if err := os.WriteFile(o.output, out, 0o644); err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	return nil
}

func readInput(name string, stdin io.Reader) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(name)
}

// config reads files where they are given, and the cluster for the rest.
func (o *kubeInjectOptions) config(ctx context.Context, access *genericclioptions.ConfigFlags) (inject.Config, error) {
	texts := map[string]string{}
	for key, file := range map[string]string{"config": o.injectConfigFile, "values": o.valuesOf, "mesh": o.meshConfigFile} {
		if file == "" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return inject.Config{}, fmt.Errorf("configuration: %w", err)
		}
		texts[key] = string(text)
	}
	if o.injectConfigFile == "" || o.meshConfigFile == "" {
		if err := o.fromCluster(ctx, access, texts); err != nil {
			return inject.Config{}, err
		}
	}
	mesh, err := inject.ParseMesh(texts["mesh"])
	if err != nil {
		return inject.Config{}, err
	}
	return inject.ParseConfig([]byte(texts["config"]), []byte(texts["values"]), mesh)
}

func (o *kubeInjectOptions) fromCluster(ctx context.Context, access *genericclioptions.ConfigFlags, texts map[string]string) error {
	cfg, err := access.ToRESTConfig()
	if err != nil {
		return fmt.Errorf("kubeconfig (offline, give --injectConfigFile and --meshConfigFile): %w", err)
	}
	kube, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("reach the API server %s: %w", cfg.Host, err)
	}
	suffix := ""
	if o.revision != "" && o.revision != "default" {
		suffix = "-" + o.revision
	}
	for name, keys := range map[string][]string{"istio-sidecar-injector" + suffix: {"config", "values"}, "istio" + suffix: {"mesh"}} {
		m, err := kube.CoreV1().ConfigMaps("istio-system").Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("ConfigMap istio-system/%s (offline, give --injectConfigFile and --meshConfigFile): %w", name, err)
		}
		for _, key := range keys {
			if _, given := texts[key]; !given {
				texts[key] = m.Data[key]
			}
		}
	}
	return nil
}
