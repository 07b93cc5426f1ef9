// SPDX-License-Identifier: Apache-2.0

package verdicts

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

//go:embed testdata/differences.yaml
var differences []byte

// Difference is a reason why our verdict is another one than Istio's, and the
// cases that it holds for.
type Difference struct {
	// Cases are expressions that the names of the cases match.
	Cases []string `json:"cases"`
	// Ours is "refused" or "accepted"; Istio's is the other one.
	Ours string `json:"ours"`
	// What is spoken of, and the Reason, for the page.
	What   string `json:"what"`
	Reason string `json:"reason"`

	names *regexp.Regexp
}

// Differences that are meant.
func Differences() ([]Difference, error) {
	var all []Difference
	if err := yaml.UnmarshalStrict(differences, &all); err != nil {
		return nil, fmt.Errorf("differences.yaml: %w", err)
	}
	for i, d := range all {
		if d.Ours != "refused" && d.Ours != "accepted" || d.What == "" || d.Reason == "" || len(d.Cases) == 0 {
			return nil, fmt.Errorf("differences.yaml: entry %d is not whole", i)
		}
		names, err := regexp.Compile("^(?:" + strings.Join(d.Cases, "|") + ")")
		if err != nil {
			return nil, fmt.Errorf("differences.yaml: entry %d: %w", i, err)
		}
		all[i].names = names
	}
	return all, nil
}

// Explains is true when the difference holds for a case on which our verdict is that.
func (d Difference) Explains(c Case, ours Verdict) bool {
	return ours.Stored() == (d.Ours == "accepted") && d.names.MatchString(c.Name)
}
