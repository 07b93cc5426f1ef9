// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/isthmesh/isthmesh/controllers/status"
	"github.com/isthmesh/isthmesh/controlplane/ingest"
	"github.com/isthmesh/isthmesh/controlplane/ingest/manifest"
	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/validate"
)

type validateOptions struct {
	files    []string
	output   string
	strict   bool
	settings model.Settings
}

func newValidateCommand() *cobra.Command {
	o := validateOptions{settings: defaultSettings()}
	cmd := &cobra.Command{
		Use:   "validate -f objects.yaml",
		Short: "Say what the mesh will make of objects, each by itself",
		Long: `Say what the mesh will make of objects, each by itself: the verdicts of the
admission webhooks, without a cluster. An error is a reason not to store the
object; a warning is a field that has no effect. Each finding has a code, the
object, the field, what is wrong and what mends it. It ends with status 1 when
there are errors.

MeshFederations and MeshMembers are judged by their definitions, and beside
those that are given with them. Which objects are of kinds that no mesh reads,
such as Deployments, is said on the standard error.`,
		Example: `  isthmesh validate -f virtual-service.yaml
  kubectl get virtualservices -A -o yaml | isthmesh validate -f - -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringSliceVarP(&o.files, "filename", "f", nil, "files of Kubernetes objects, - for the standard input")
	f.StringVarP(&o.output, "output", "o", "text", "text or json")
	f.BoolVar(&o.strict, "strict", false, "end with status 1 for warnings too")
	f.StringVar(&o.settings.DomainSuffix, "domain-suffix", o.settings.DomainSuffix, "DNS suffix of the cluster")
	return cmd
}

// defaultSettings are those of an installation that says nothing.
func defaultSettings() model.Settings {
	return model.Settings{RootNamespace: "istio-system", TrustDomain: "cluster.local", DomainSuffix: "cluster.local", Cluster: "Kubernetes"}
}

func (o *validateOptions) run(ctx context.Context, in io.Reader, out, info io.Writer) error {
	if err := checkFormat(o.output); err != nil {
		return err
	}
	data, err := readFiles(in, o.files)
	if err != nil {
		return err
	}
	var problems []model.Problem
	var hubs federated
	var foreign []string
	err = eachObject(data, func(u *unstructured.Unstructured) error {
		if u.GetKind() == manifest.KindImports {
			return nil
		}
		if taken, err := hubs.add(ctx, u); taken || err != nil {
			return err
		}
		v := validate.Unstructured(u, o.settings)
		problems = append(problems, v.Problems...)
		if v.Foreign {
			foreign = append(foreign, fmt.Sprintf("%s %s/%s", u.GetKind(), u.GetNamespace(), u.GetName()))
		}
		return nil
	}, func(n int, err error) {
		problems = append(problems, unreadable(n, err))
	})
	if err != nil {
		return err
	}
	problems = append(problems, hubs.judged()...)
	if len(foreign) > 0 {
		slices.Sort(foreign)
		fmt.Fprintf(info, "not judged, since no mesh reads their kinds: %s\n", status.Names(foreign))
	}
	findings := found(problems)
	if err := printFindings(out, findings, o.output); err != nil {
		return err
	}
	return judged(findings, o.strict)
}

// unreadable is a document that holds no object.
func unreadable(n int, err error) model.Problem {
	return model.Problem{Kind: "Document", Name: fmt.Sprint(n), Reason: ingest.Invalid, Message: fmt.Sprintf("it can't be read: %v; correct it", err)}
}

// eachObject calls do for each object of a stream of documents, and bad for
// each document that can't be read, by its number from 1.
func eachObject(data []byte, do func(*unstructured.Unstructured) error, bad func(int, error)) error {
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for n := 1; ; n++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		u := &unstructured.Unstructured{}
		if err == nil {
			err = yaml.Unmarshal(document, &u.Object)
		}
		switch {
		case err != nil:
			bad(n, err)
		case len(u.Object) == 0:
		case u.IsList():
			err = u.EachListItem(func(item runtime.Object) error {
				if one, ok := item.(*unstructured.Unstructured); ok {
					return do(one)
				}
				return nil
			})
			if err != nil {
				bad(n, err)
			}
		default:
			if err := do(u); err != nil {
				bad(n, err)
			}
		}
	}
}
