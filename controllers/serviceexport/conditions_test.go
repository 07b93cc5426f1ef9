// SPDX-License-Identifier: Apache-2.0

package serviceexport

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/federation/member"
)

func TestConditions(t *testing.T) {
	noService := &model.Problem{Reason: "NoService", Message: "there is no Service of this name"}
	labels := &model.Problem{Field: "spec.exportedLabels", Reason: "NotSupported", Message: "passed over"}
	forbidden := &member.Refusal{Reason: "NamespaceNotAllowed", Message: "add a rule"}
	ports := &member.Refusal{Reason: "PortConflict,TypeConflict", Message: "port 80 is another"}
	exported := conditions(facts{exported: true, hub: Holds}, nil)
	conflicting := conditions(facts{exported: true, hub: Holds, refused: ports}, nil)
	for name, c := range map[string]struct {
		facts facts
		was   []metav1.Condition
		want  []string
	}{
		"NotInTheMeshYet": {facts{hub: Holds}, nil, nil},
		"Exported":        {facts{exported: true, hub: Holds}, nil, []string{"Valid True Valid", "Ready True Exported", "Conflict False NoConflicts"}},
		"NoService": {facts{problem: noService, hub: Holds}, exported, []string{
			"Valid False NoService: there is no Service of this name", "Ready False Failed: The export is not valid.", "Conflict False NoConflicts",
		}},
		"NoServiceWhileAway": {facts{problem: noService, hub: Away}, conflicting, []string{
			"Valid False NoService: there is no Service of this name", "Ready False Failed: The export is not valid.", "Conflict False NoConflicts",
		}},
		"FieldNotSupported": {facts{exported: true, hub: Holds, problem: labels}, nil, []string{
			"Valid True Valid: spec.exportedLabels: passed over", "Ready True Exported", "Conflict False NoConflicts",
		}},
		"NoFederation": {facts{exported: true}, nil, []string{
			"Valid True Valid", "Ready Unknown Pending: This cluster is not a member of a federation: a MeshMember on the hub makes it one.", "Conflict False NoConflicts",
		}},
		"HubAway": {facts{exported: true, hub: Away, why: "can't reach it"}, nil, []string{
			"Valid True Valid", "Ready Unknown Pending: The hub does not have it yet: can't reach it", "Conflict False NoConflicts",
		}},
		"HubAwayForAReason": {facts{exported: true, hub: Away, why: "new reason"}, conditions(facts{exported: true, hub: Away, why: "old"}, nil), []string{
			"Valid True Valid", "Ready Unknown Pending: The hub does not have it yet: new reason", "Conflict False NoConflicts",
		}},
		"HubWentAway": {facts{exported: true, hub: Away}, exported, []string{"Valid True Valid", "Ready True Exported", "Conflict False NoConflicts"}},
		"HubWentAwayInConflict": {facts{exported: true, hub: Away}, conflicting, []string{
			"Valid True Valid", "Ready True Exported", "Conflict True PortConflict,TypeConflict: port 80 is another",
		}},
		"Refused": {facts{exported: true, hub: Holds, refused: forbidden}, exported, []string{
			"Valid True Valid", "Ready False Failed: NamespaceNotAllowed: add a rule", "Conflict False NoConflicts",
		}},
		"Conflict": {facts{exported: true, hub: Holds, refused: ports}, exported, []string{
			"Valid True Valid", "Ready True Exported", "Conflict True PortConflict,TypeConflict: port 80 is another",
		}},
		"ConflictOver": {facts{exported: true, hub: Holds}, conflicting, []string{"Valid True Valid", "Ready True Exported", "Conflict False NoConflicts"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, c := range conditions(c.facts, c.was) {
				line := fmt.Sprintf("%s %s %s", c.Type, c.Status, c.Reason)
				if c.Message != "" {
					line += ": " + c.Message
				}
				got = append(got, line)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}
