// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	networking "istio.io/api/networking/v1alpha3"
	clientnetworking "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"
)

func newWorkloadGroupCommand(streams genericiooptions.IOStreams, access *genericclioptions.ConfigFlags) *cobra.Command {
	var name, account, network, locality string
	var labels, annotations, ports map[string]string
	var weight uint32
	cmd := &cobra.Command{
		Use:     "create --name NAME",
		Short:   "Print a WorkloadGroup, to be piped into kubectl apply -f -",
		Example: "  isthmesh workload group create --name ratings --namespace vm --labels app=ratings --ports http=8080 --serviceAccount ratings",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if name == "" {
				return errors.New("give the group a name: --name NAME")
			}
			template := &networking.WorkloadEntry{ServiceAccount: account, Network: network, Locality: locality, Weight: weight}
			for port, text := range ports {
				n, err := strconv.ParseUint(text, 10, 16)
				if err != nil || n == 0 {
					return fmt.Errorf("--ports: %s=%s is no port; write such as http=8080", port, text)
				}
				if template.Ports == nil {
					template.Ports = map[string]uint32{}
				}
				template.Ports[port] = uint32(n)
			}
			spec, err := (&networking.WorkloadGroup{
				Metadata: &networking.WorkloadGroup_ObjectMeta{Labels: labels, Annotations: annotations}, Template: template,
			}).MarshalJSON()
			if err != nil {
				return fmt.Errorf("encode the group: %w", err)
			}
			var out struct {
				metav1.TypeMeta `json:",inline"`
				Metadata        map[string]string `json:"metadata"`
				Spec            json.RawMessage   `json:"spec"`
			}
			out.TypeMeta = metav1.TypeMeta{APIVersion: clientnetworking.SchemeGroupVersion.String(), Kind: "WorkloadGroup"}
			out.Metadata, out.Spec = map[string]string{"name": name, "namespace": namespaceOf(access)}, spec
			text, err := yaml.Marshal(out)
			if err != nil {
				return fmt.Errorf("encode the group: %w", err)
			}
			_, err = streams.Out.Write(text)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "name of the group")
	f.StringToStringVarP(&labels, "labels", "l", nil, "labels of its machines, such as app=ratings,version=v2")
	f.StringToStringVarP(&annotations, "annotations", "a", nil, "annotations of its machines")
	f.StringToStringVarP(&ports, "ports", "p", nil, "ports that its machines serve, such as http=8080")
	f.StringVar(&account, "serviceAccount", "default", "service account whose identity its machines have")
	f.StringVar(&network, "network", "", "network that its machines are in")
	f.StringVar(&locality, "locality", "", "where its machines are, as region/zone/subzone")
	f.Uint32VarP(&weight, "weight", "w", 0, "share of calls that its machines get, among the endpoints of a service")
	return cmd
}
