// SPDX-License-Identifier: Apache-2.0

// Command controlplane ("istiod") is the brain of one member: it reads
// Kubernetes, builds the mesh, serves it to proxies over xDS, signs their
// certificates, injects sidecars, and exchanges services with the hub when
// the cluster is a member of a federation.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/isthmesh/isthmesh/controllers/workloadentry"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// options are the flags, and what the pod's environment tells.
type options struct {
	kubeconfig string
	namespace  string
	revision   string
	federation bool
	logLevel   string
	pod        string
	settings   model.Settings

	// plainRegistries are asked for modules of WasmPlugins without TLS.
	plainRegistries []string

	// machineGrace is how long a machine may be away before its WorkloadEntry goes.
	machineGrace time.Duration

	xdsAddress, webhookAddress, monitoringAddress, readyAddress string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:], os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, "istiod:", err)
		os.Exit(2)
	}
	log, err := newLogger(o.logLevel)
	if err != nil {
		fmt.Fprintln(os.Stderr, "istiod:", err)
		os.Exit(2)
	}
	ctrllog.SetLogger(log)
	klog.SetLogger(log.WithName("client-go"))
	if err := run(logr.NewContext(ctx, log), o); err != nil && ctx.Err() == nil {
		log.Error(err, "control plane ends")
		os.Exit(1)
	}
}

// parse reads the flags; getenv gives what the downward API tells of the pod.
func parse(args []string, getenv func(string) string) (*options, error) {
	var cluster, network string
	o := &options{settings: model.Settings{AutoMTLS: true, ConnectTimeoutMillis: 10_000}, pod: getenv("POD_NAME")}
	f := pflag.NewFlagSet("istiod", pflag.ContinueOnError)
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster; the pod's own service account when empty")
	f.StringVar(&o.namespace, "namespace", "istio-system", "namespace of the control plane; mesh-wide configuration is in it")
	f.StringVar(&o.revision, "revision", "", "revision of this control plane; empty is the default one")
	f.BoolVar(&o.federation, "federation", false, "get the CA from the hub of a federation, and exchange services with it")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&cluster, "cluster-id", "Kubernetes", "name of this cluster in the mesh")
	f.StringVar(&network, "network", "", "network of this cluster's pods")
	f.StringVar(&o.settings.MeshID, "mesh-id", "", "name of the mesh in telemetry")
	f.StringVar(&o.settings.TrustDomain, "trust-domain", "cluster.local", "SPIFFE trust domain of this cluster's identities")
	f.StringVar(&o.settings.DomainSuffix, "domain-suffix", "cluster.local", "DNS suffix of the cluster")
	f.StringVar(&o.settings.Locality.Region, "region", "", "region, for workloads whose nodes tell none")
	f.StringVar(&o.settings.Locality.Zone, "zone", "", "zone, for workloads whose nodes tell none")
	f.StringVar(&o.xdsAddress, "xds-address", ":15012", "xDS and certificates, over TLS")
	f.StringVar(&o.webhookAddress, "webhook-address", ":15017", "injection and validation, over TLS")
	f.StringVar(&o.monitoringAddress, "monitoring-address", ":15014", "metrics, and /debug for callers on loopback")
	f.StringSliceVar(&o.plainRegistries, "wasm-plain-registries", nil, "registries (host or host:port) that modules of WasmPlugins are pulled from without TLS")
	f.StringSliceVar(&o.settings.ProxyImageTypes, "proxy-image-types", nil, "variants of the proxy's image that are published beside the default one, such as debug")
	f.DurationVar(&o.machineGrace, "workload-entry-grace-period", workloadentry.StandardGrace,
		"how long a machine that registered itself may be away before its WorkloadEntry is removed; "+graceVariable+" is read without it")
	f.StringVar(&o.readyAddress, "ready-address", ":8080", "/ready")
	checks := gatewayChecks(f)
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if err := o.readGrace(f.Changed("workload-entry-grace-period"), getenv); err != nil {
		return nil, err
	}
	if err := checks.into(&o.settings); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: only flags are taken, see --help", f.Arg(0))
	}
	o.settings.Cluster, o.settings.Network = model.ClusterID(cluster), model.NetworkID(network)
	o.settings.RootNamespace, o.settings.Revision = o.namespace, o.revision
	return o, nil
}

func newLogger(level string) (logr.Logger, error) {
	var l zapcore.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return logr.Logger{}, fmt.Errorf("--log-level %q: use debug, info, warn or error", level)
	}
	config := zap.NewProductionConfig()
	config.Level = zap.NewAtomicLevelAt(l)
	config.EncoderConfig.EncodeTime = zapcore.RFC3339TimeEncoder
	config.Sampling = nil
	z, err := config.Build()
	if err != nil {
		return logr.Logger{}, fmt.Errorf("make the log: %w", err)
	}
	return zapr.NewLogger(z), nil
}

// clusterConfig is how to reach the API server.
func clusterConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		cfg, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("not in a pod, so --kubeconfig is needed: %w", err)
		}
		return cfg, nil
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig %s: %w", kubeconfig, err)
	}
	return cfg, nil
}
