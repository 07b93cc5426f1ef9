// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controlplane/analyze"
	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/credential"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/snapshot"
	"github.com/isthmesh/isthmesh/controlplane/validate"
)

type analyzeOptions struct {
	files     []string
	output    string
	strict    bool
	namespace string
	revision  string
	timeout   time.Duration
	settings  model.Settings
}

func newAnalyzeCommand(access *genericclioptions.ConfigFlags) *cobra.Command {
	o := analyzeOptions{settings: defaultSettings()}
	o.settings.TrustDomain = "" // the mesh configuration has it
	cmd := &cobra.Command{
		Use:   "analyze [-f objects.yaml]",
		Short: "Find what is wrong with the objects of a mesh, together",
		Long: `Find what is wrong with the objects of a mesh, together: all that validate finds,
and what they say of each other and is not so, such as an unknown host, subset,
port or gateway, and two that want the same. MeshFederations and MeshMembers are
judged in files; of a hub's own, kubectl get and describe tell. Without files it reads the cluster
that kubectl would. It ends with status 1 when there are errors.`,
		Example: `  isthmesh analyze
  kubectl get svc,endpointslices,pods,virtualservices,destinationrules,gateways -A -o yaml | isthmesh analyze -f -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), access, cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringSliceVarP(&o.files, "filename", "f", nil, "files of Kubernetes objects, - for the standard input; without it, the cluster")
	f.StringVarP(&o.output, "output", "o", "text", "text or json")
	f.BoolVar(&o.strict, "strict", false, "end with status 1 for warnings too")
	f.StringVar(&o.namespace, "istio-namespace", o.settings.RootNamespace, "namespace of the control plane")
	f.StringVar(&o.revision, "revision", "", "revision of the control plane")
	f.DurationVar(&o.timeout, "wait", 30*time.Second, "how long reading the cluster may take")
	f.StringVar(&o.settings.DomainSuffix, "domain-suffix", o.settings.DomainSuffix, "DNS suffix of the cluster")
	f.StringVar(&o.settings.TrustDomain, "trust-domain", o.settings.TrustDomain, "SPIFFE trust domain of the cluster's identities; the mesh configuration's when empty")
	return cmd
}

func (o *analyzeOptions) run(ctx context.Context, access *genericclioptions.ConfigFlags, in io.Reader, out io.Writer) error {
	if err := checkFormat(o.output); err != nil {
		return err
	}
	o.settings.RootNamespace = o.namespace
	var input ingest.Input
	var problems []model.Problem
	var err error
	if len(o.files) > 0 {
		input, problems, err = o.fromFiles(ctx, in)
	} else {
		input, err = o.fromCluster(ctx, access)
	}
	if err != nil {
		return err
	}
	input.Settings = o.settings
	findings := found(append(problems, together(input)...))
	if err := printFindings(out, findings, o.output); err != nil {
		return err
	}
	return judged(findings, o.strict)
}

// together are the Problems of all steps of the flow, and of the analysis. Of
// one field the first to say something has the word.
func together(input ingest.Input) []model.Problem {
	mesh := ingest.Build(input, nil).Mesh
	all := slices.Concat(mesh.Problems, analyze.Mesh(mesh), validate.Unreadable(mesh.Patches))
	place := func(p model.Problem) model.Problem {
		p.Reason, p.Message = "", ""
		return p
	}
	told := map[model.Problem]bool{}
	for _, p := range all {
		told[place(p)] = true
	}
	for _, p := range snapshot.Build(mesh, nil).AllProblems() {
		if !told[place(p)] {
			all = append(all, p)
		}
	}
	return all
}

// fromFiles reads what can be read, and tells of the rest.
func (o *analyzeOptions) fromFiles(ctx context.Context, in io.Reader) (ingest.Input, []model.Problem, error) {
	data, err := readFiles(in, o.files)
	if err != nil {
		return ingest.Input{}, nil, err
	}
	var problems []model.Problem
	var sound bytes.Buffer
	var hubs federated
	err = eachObject(data, func(u *unstructured.Unstructured) error {
		if taken, err := hubs.add(ctx, u); taken || err != nil {
			return err
		}
		text, err := yaml.Marshal(u.Object)
		if err != nil {
			return err
		}
		kind, namespace, name := u.GetKind(), u.GetNamespace(), u.GetName()
		if wrong := manifest.Misfits(u); len(wrong) > 0 {
			problems = append(problems, wrong...)
			return nil
		}
		if _, err := manifest.Read(text); err != nil {
			problems = append(problems, model.Problem{
				Kind: kind, Namespace: namespace, Name: name, Reason: ingest.Invalid,
				Message: fmt.Sprintf("it can't be read: %v; correct it", err),
			})
			return nil
		}
		sound.Write(text)
		sound.WriteString("\n---\n")
		return nil
	}, func(n int, err error) {
		problems = append(problems, unreadable(n, err))
	})
	if err != nil {
		return ingest.Input{}, nil, err
	}
	objects, err := manifest.Read(sound.Bytes())
	if err != nil {
		return ingest.Input{}, nil, fmt.Errorf("read objects: %w", err)
	}
	return objects.Input, append(problems, hubs.judged()...), nil
}

// fromCluster reads everything once. What may not be read might be what others
// refer to, so nothing is said without it.
func (o *analyzeOptions) fromCluster(ctx context.Context, access *genericclioptions.ConfigFlags) (ingest.Input, error) {
	state, err := clusterOptions{root: o.namespace, revision: o.revision, timeout: o.timeout, credentials: o.credentials}.read(ctx, access)
	if err == nil && len(state.denied) > 0 {
		err = deniedError(state.denied, o.namespace)
	}
	return state.input, err
}

// credentials that gateways and policies lean on, as the control plane has them read.
func (o *analyzeOptions) credentials(input ingest.Input) []model.CredentialRef {
	input.Settings = o.settings
	result := ingest.Build(input, nil)
	return append(result.References(), credential.Wanted(result.Mesh)...)
}
