// SPDX-License-Identifier: Apache-2.0

// Command hub is the operator of federations: the controllers of MeshFederation
// and MeshMember, and the server that members' control planes stream to.
package main

import (
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	logzap "sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/api/version"
	"github.com/isthmesh/isthmesh/controllers/admission"
)

// serviceName of the hub's own Service.
const serviceName = "isthmesh-hub"

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hub:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	metricsAddress, probeAddress      string
	leaderElect                       bool
	namespace                         string
	federationBind, federationAddress string
	webhookBind                       string
	watchNamespaces                   []string
	imageHub, imageTag                string
	logLevel                          zapcore.Level
}

func parse(args []string) (options, error) {
	var o options
	var namespaces, level string
	flags := flag.NewFlagSet("hub", flag.ContinueOnError)
	flags.StringVar(&o.metricsAddress, "metrics-bind-address", ":8080", "where metrics are served; 0 is nowhere")
	flags.StringVar(&o.probeAddress, "health-probe-bind-address", ":8081", "where /healthz and /readyz are served")
	flags.BoolVar(&o.leaderElect, "leader-elect", false, "act only while holding the lease, so that one of several replicas does")
	flags.StringVar(&o.namespace, "namespace", "", "namespace of the hub itself; its pod's by default")
	flags.StringVar(&o.federationBind, "federation-bind-address", ":15060", "where members' streams are served")
	flags.StringVar(&o.federationAddress, "federation-address", "", "host:port at which members reach that; by default the address of Service "+serviceName)
	flags.StringVar(&o.webhookBind, "webhook-bind-address", "0", "where the API server has objects validated, such as :9443; 0 is nowhere")
	flags.StringVar(&namespaces, "watch-namespaces", "", "namespaces whose federations are reconciled, separated by commas; empty is all")
	flags.StringVar(&o.imageHub, "image-hub", "isthmesh", "registry and folder of the images that members get")
	flags.StringVar(&o.imageTag, "image-tag", version.Version, "tag of the images that members get")
	flags.StringVar(&level, "log-level", "info", "debug, info or error")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if err := o.logLevel.Set(level); err != nil {
		return o, fmt.Errorf("--log-level %q: %w", level, err)
	}
	if o.federationAddress != "" {
		if _, _, err := net.SplitHostPort(o.federationAddress); err != nil {
			return o, fmt.Errorf("--federation-address must be host:port: %w", err)
		}
	}
	if _, err := webhookServer(o.webhookBind, nil); err != nil {
		return o, err
	}
	for name := range strings.SplitSeq(namespaces, ",") {
		if name = strings.TrimSpace(name); name != "" {
			o.watchNamespaces = append(o.watchNamespaces, name)
		}
	}
	if o.namespace == "" {
		const own = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
		content, err := os.ReadFile(own)
		if errors.Is(err, fs.ErrNotExist) {
			return o, errors.New("--namespace is needed outside of a cluster")
		}
		if err != nil {
			return o, err
		}
		o.namespace = strings.TrimSpace(string(content))
	}
	return o, nil
}

func run(o options) error {
	ctx := ctrl.SetupSignalHandler()
	log := logzap.New(logzap.UseDevMode(false), logzap.Level(o.logLevel))
	ctrl.SetLogger(log)
	log.Info("starting", "version", version.Version, "commit", version.Commit)

	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	mgr, err := newManager(config, o)
	if err != nil {
		return err
	}
	_, err = rest.InClusterConfig()
	h := &federationHub{
		options: o, manager: mgr, log: log,
		outside: errors.Is(err, rest.ErrNotInCluster),
		now:     time.Now, rand: rand.Reader,
	}
	if err := h.setUp(ctx); err != nil {
		return err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

func newManager(config *rest.Config, o options) (manager.Manager, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	config.QPS, config.Burst = 100, 200
	config.UserAgent = "isthmesh-hub/" + version.Version
	var watched map[string]cache.Config // nil is all
	if len(o.watchNamespaces) > 0 {
		watched = map[string]cache.Config{}
	}
	for _, name := range o.watchNamespaces {
		watched[name] = cache.Config{}
	}
	grace := 20 * time.Second
	return ctrl.NewManager(config, manager.Options{
		Scheme: scheme,
		Cache: cache.Options{
			DefaultNamespaces: watched,
			// Of Services and webhook configurations only the hub's own matter.
			ByObject: map[client.Object]cache.ByObject{
				&corev1.Service{}: {Namespaces: map[string]cache.Config{o.namespace: {}}},
				&admissionv1.ValidatingWebhookConfiguration{}: {Field: fields.OneTermEqualSelector("metadata.name", admission.ConfigurationName)},
			},
		},
		// Secrets are read live: none but those that a federation names is ever held.
		Client:                        client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},
		Metrics:                       server.Options{BindAddress: o.metricsAddress},
		HealthProbeBindAddress:        o.probeAddress,
		LeaderElection:                o.leaderElect,
		LeaderElectionID:              "hub.federation.isthmesh.dev",
		LeaderElectionNamespace:       o.namespace,
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       &grace,
	})
}
