// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	clientnetworking "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/agent/machine"
	"github.com/isthmesh/isthmesh/controlplane/ingest/fields"
)

func newWorkloadCommand(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	workload := &cobra.Command{Use: "workload", Short: "Bring machines outside the cluster into the mesh"}
	// Istio has it as entry configure.
	entry := &cobra.Command{Use: "entry", Short: "Set up one machine", Hidden: true}
	entry.AddCommand(newWorkloadConfigureCommand(streams, access))
	group := &cobra.Command{Use: "group", Short: "Groups of like machines"}
	group.AddCommand(newWorkloadGroupCommand(streams, access))
	workload.AddCommand(newWorkloadConfigureCommand(streams, access), entry, group)
	return workload
}

type workloadOptions struct {
	file, name, output, clusterID        string
	root, revision                       string
	ingressService, ingressIP            string
	internalIP, externalIP               string
	tokenSeconds                         int64
	autoRegister, captureDNS, clusterSet bool
}

func newWorkloadConfigureCommand(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	var o workloadOptions
	cmd := &cobra.Command{
		Use:   "configure {-f FILE | --name GROUP} -o DIRECTORY",
		Short: "Write the files with which a machine joins the mesh, of its WorkloadGroup",
		Long: `Write the files with which a machine joins the mesh, of its WorkloadGroup:

  cluster.env     -> /var/lib/istio/envoy/cluster.env
  mesh.yaml       -> /etc/istio/config/mesh
  root-cert.pem   -> /etc/certs/root-cert.pem
  istio-token     -> /var/run/secrets/tokens/istio-token  (a secret, good for --tokenDuration)
  hosts           -> to be appended to /etc/hosts

The token is for the first certificate; the agent renews its certificate with the one it has.`,
		Example: `  isthmesh workload configure -f workloadgroup.yaml -o machine --autoregister
  isthmesh workload configure --name ratings --namespace vm -o machine --ingressIP 203.0.113.20`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.clusterSet = cmd.Flags().Changed("clusterID")
			return o.run(cmd.Context(), streams, access)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.file, "file", "f", "", "the WorkloadGroup; - for standard input")
	f.StringVar(&o.name, "name", "", "the WorkloadGroup in the cluster, instead of a file")
	f.StringVarP(&o.output, "output", "o", "", "the directory to write to")
	f.StringVar(&o.clusterID, "clusterID", "", "name of the cluster in the mesh; by default as the control plane has it")
	f.StringVar(&o.root, "istioNamespace", "istio-system", "namespace of the control plane")
	f.StringVar(&o.revision, "revision", "", "revision of the control plane")
	f.StringVar(&o.ingressService, "ingressService", "istio-eastwestgateway", "Service by which the machine reaches the control plane, as SERVICE or SERVICE.NAMESPACE")
	f.StringVar(&o.ingressIP, "ingressIP", "", "address at which the machine reaches the control plane, instead of a Service's")
	f.StringVar(&o.internalIP, "internalIP", "", "the machine's own address; by default its first")
	f.StringVar(&o.externalIP, "externalIP", "", "the address at which others reach the machine, if it isn't its own")
	f.Int64Var(&o.tokenSeconds, "tokenDuration", 3600, "seconds that the token is good for")
	f.BoolVar(&o.autoRegister, "autoregister", false, "have the control plane make the machine's WorkloadEntry when it connects")
	f.BoolVar(&o.captureDNS, "capture-dns", true, "have the agent answer the machine's DNS, so that it knows the names of the mesh")
	return cmd
}

func (o *workloadOptions) run(ctx context.Context, streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) error {
	switch {
	case (o.file == "") == (o.name == ""):
		return errors.New("give the WorkloadGroup: --file FILE, or --name and --namespace of one in the cluster")
	case o.output == "":
		return errors.New("give the directory to write to: --output DIRECTORY")
	case o.internalIP != "" && o.externalIP != "":
		return errors.New("--internalIP and --externalIP exclude each other: a machine is reached at one address")
	case o.tokenSeconds < 600:
		return fmt.Errorf("--tokenDuration is %d: API servers give tokens for 600 seconds and more", o.tokenSeconds)
	}
	in := machine.Input{AutoRegister: o.autoRegister, CaptureDNS: o.captureDNS}
	for _, a := range []struct {
		flag, text string
		into       *netip.Addr
	}{{"internalIP", o.internalIP, &in.Internal}, {"externalIP", o.externalIP, &in.External}, {"ingressIP", o.ingressIP, new(netip.Addr)}} {
		if a.text == "" {
			continue
		}
		var err error
		if *a.into, err = netip.ParseAddr(a.text); err != nil {
			return fmt.Errorf("--%s: %q is no address", a.flag, a.text)
		}
	}
	cluster, err := newWorkloadCluster(access, o)
	if err != nil {
		return err
	}
	if in.Group, err = o.group(ctx, streams.In, cluster, access); err != nil {
		return err
	}
	if in.Mesh, err = cluster.mesh(ctx); err != nil {
		return err
	}
	if in.Cluster, err = cluster.values(ctx); err != nil {
		return err
	}
	if o.clusterSet {
		in.Cluster.ID = o.clusterID
	}
	if o.suffix() != "" {
		in.ControlPlane = o.controlPlane() + ":15012"
	}
	files, err := machine.New(in)
	if err != nil {
		return fmt.Errorf("WorkloadGroup %s/%s: %w", in.Group.Namespace, in.Group.Name, err)
	}
	root, err := cluster.rootCertificate(ctx, in.Group.Namespace)
	if err != nil {
		return err
	}
	hosts, warning, err := cluster.hosts(ctx)
	if err != nil {
		return err
	}
	if warning != "" {
		files.Warnings = append(files.Warnings, warning)
	}
	account := machine.Account(in.Group)
	token, err := cluster.token(ctx, in.Group.Namespace, account)
	if err != nil {
		return err
	}
	if err := o.write(map[string][]byte{
		"cluster.env": files.ClusterEnv, "mesh.yaml": files.Mesh, "root-cert.pem": []byte(root), "hosts": []byte(hosts), "istio-token": []byte(token),
	}); err != nil {
		return err
	}
	for _, w := range files.Warnings {
		fmt.Fprintln(streams.ErrOut, "warning:", w)
	}
	fmt.Fprintf(streams.ErrOut, "warning: %s is a secret: whoever has it is service account %s/%s for %d seconds\n", filepath.Join(o.output, "istio-token"), in.Group.Namespace, account, o.tokenSeconds)
	fmt.Fprintf(streams.Out, "The files of a machine of WorkloadGroup %s/%s are in %s\n", in.Group.Namespace, in.Group.Name, o.output)
	return nil
}

// group of the file, or of the cluster.
func (o *workloadOptions) group(ctx context.Context, stdin io.Reader, cluster *workloadCluster, access *genericclioptions.ConfigFlags) (*clientnetworking.WorkloadGroup, error) {
	if o.file == "" {
		return cluster.group(ctx, namespaceOf(access), o.name)
	}
	body, err := readInput(o.file, stdin)
	if err != nil {
		return nil, fmt.Errorf("--file: %w", err)
	}
	g, written := &clientnetworking.WorkloadGroup{}, map[string]any{}
	if err := errors.Join(yaml.Unmarshal(body, g), yaml.Unmarshal(body, &written)); err != nil {
		return nil, fmt.Errorf("%s: not a WorkloadGroup: %w", o.file, err)
	}
	unknown := fields.Unknown(g, written)
	switch {
	case g.Kind != "WorkloadGroup":
		return nil, fmt.Errorf("%s: the first object is a %q, not a WorkloadGroup", o.file, g.Kind)
	case g.Name == "":
		return nil, fmt.Errorf("%s: the WorkloadGroup has no metadata.name", o.file)
	case len(unknown) > 0:
		return nil, fmt.Errorf("%s: a WorkloadGroup has no field %s: correct or remove it", o.file, strings.Join(unknown, ", "))
	}
	if g.Namespace == "" {
		g.Namespace = namespaceOf(access)
	}
	return g, nil
}

// write the files into the directory, the token for its owner alone.
func (o *workloadOptions) write(files map[string][]byte) error {
	if err := os.MkdirAll(o.output, 0o755); err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	for name, body := range files {
		path, mode := filepath.Join(o.output, name), os.FileMode(0o644)
		if name == "istio-token" {
			mode = 0o600
			// One that is there would keep its mode.
			_ = os.Remove(path)
		}
		if err := os.WriteFile(path, body, mode); err != nil {
			return fmt.Errorf("--output: %w", err)
		}
	}
	return nil
}

// suffix of the control plane's names.
func (o *workloadOptions) suffix() string {
	if o.revision == "" || o.revision == "default" {
		return ""
	}
	return "-" + o.revision
}

// controlPlane is the name that its certificate has.
func (o *workloadOptions) controlPlane() string {
	return "istiod" + o.suffix() + "." + o.root + ".svc"
}
