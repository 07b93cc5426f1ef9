// SPDX-License-Identifier: Apache-2.0

package verdicts_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/validate"
	"github.com/isthmesh/isthmesh/test/verdicts"
)

var update = flag.Bool("update", false, "rewrite docs/verdicts.md")

const (
	record = "testdata/record"
	page   = "../../docs/verdicts.md"
)

// asked at the webhook too is each case of so many: both are the same function,
// and judging takes time.
const asked = 7

// judged is a case with both verdicts.
type judged struct {
	verdicts.Case
	istio, ours verdicts.Verdict
	said        validate.Verdict
	// whole is true when the webhook says the same as the rest.
	whole error
}

// judge all cases: as they are without a cluster, and as the webhook does.
var judge = sync.OnceValues(func() ([]judged, error) {
	cases, err := verdicts.Cases()
	if err != nil {
		return nil, err
	}
	istio, err := verdicts.ReadRecord(record, cases)
	if err != nil {
		return nil, err
	}
	out := make([]judged, len(cases))
	errs := make([]error, len(cases))
	var all sync.WaitGroup
	const workers = 4
	for w := range workers {
		all.Go(func() {
			webhook := validate.NewHandler(verdicts.Settings)
			for i := w; i < len(cases); i += workers {
				j := judged{Case: cases[i], istio: istio[cases[i].Name]}
				j.ours, j.said, errs[i] = verdicts.Ours(cases[i])
				if i%asked == 0 || strings.Contains(j.Name, "/edge/") {
					j.whole = sameAtTheWebhook(webhook, j)
				}
				out[i] = j
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
})

func cases(t *testing.T) []judged {
	t.Helper()
	all, err := judge()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10_000 {
		t.Fatalf("there are only %d cases", len(all))
	}
	return all
}

// TestVerdictsAreIstios has our verdicts be Istio's, but where a reason is stated;
// and each reason must still be needed.
func TestVerdictsAreIstios(t *testing.T) {
	differences, err := verdicts.Differences()
	if err != nil {
		t.Fatal(err)
	}
	needed := make([]int, len(differences))
	agree, schema := 0, 0
	for _, c := range cases(t) {
		if c.istio == verdicts.Schema {
			schema++ // before any webhook is asked
			continue
		}
		if c.istio.Stored() == c.ours.Stored() {
			agree++
			continue
		}
		i := slices.IndexFunc(differences, func(d verdicts.Difference) bool { return d.Explains(c.Case, c.ours) })
		if i < 0 {
			t.Errorf("%s: Istio has it %v, we have it %v, for no stated reason: %q", c.Name, c.istio, c.ours, slices.Concat(c.said.Refused, c.said.Warnings))
			continue
		}
		needed[i]++
	}
	for i, n := range needed {
		if n == 0 {
			t.Errorf("nothing differs for this reason any more: %s", differences[i].What)
		}
	}
	testPage(t, agree, schema, needed, differences)
}

// testPage compares the page with what was counted.
func testPage(t *testing.T, agree, schema int, needed []int, differences []verdicts.Difference) {
	t.Helper()
	total := 0
	for _, n := range needed {
		total += n
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d objects are judged alike, %d are refused by the kinds' own schemas before anybody is asked, and %d are judged otherwise, for these reasons:\n\n",
		agree, schema, total)
	for _, ours := range []string{"refused", "accepted"} {
		fmt.Fprintf(&b, "| %s here, and not by Istio | objects | why |\n|---|---|---|\n", map[string]string{"refused": "Refused", "accepted": "Accepted"}[ours])
		for i, d := range differences {
			if d.Ours == ours {
				fmt.Fprintf(&b, "| %s | %d | %s |\n", d.What, needed[i], d.Reason)
			}
		}
		b.WriteString("\n")
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- the count begins: go test ./test/verdicts -update -->\n", "<!-- the count ends -->"
	before, rest, _ := strings.Cut(string(text), begin)
	was, after, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("%s has no count", page)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+b.String()+end+after), 0o644); err != nil { //nolint:gosec // it is a page
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(was, b.String()); diff != "" {
		t.Errorf("the page differs; go test ./test/verdicts -update rewrites it (-page +counted):\n%s", diff)
	}
}

// TestRefusalsHelp has each refusal name the object, the field, what is wrong,
// and what mends it.
func TestRefusalsHelp(t *testing.T) {
	told := map[string]bool{}
	for _, c := range cases(t) {
		for _, p := range c.said.Problems {
			if !validate.Refuses(p) {
				continue
			}
			if why := unhelpful(p); why != "" && !told[why+p.Kind+p.Message] {
				told[why+p.Kind+p.Message] = true
				t.Errorf("%s: %s: %+v", c.Name, why, p)
			}
		}
	}
}

func unhelpful(p model.Problem) string {
	mend := max(strings.LastIndex(p.Message, "; "), strings.LastIndex(p.Message, ": "), strings.LastIndex(p.Message, ", "))
	switch {
	case p.Kind == "" || p.Name == "" || p.Namespace == "":
		return "it doesn't name the object"
	case p.Field == "" && !strings.Contains(p.Message, `"`):
		return "it doesn't name the field"
	case mend < 0:
		return "it doesn't say what mends it"
	}
	return ""
}

// TestWebhookSaysTheSame asks the admission webhook, as the API server does.
func TestWebhookSaysTheSame(t *testing.T) {
	for _, c := range cases(t) {
		if c.whole != nil {
			t.Errorf("%s: %v", c.Name, c.whole)
		}
	}
}

func sameAtTheWebhook(webhook http.Handler, c judged) error {
	raw, err := c.JSON()
	if err != nil {
		return err
	}
	review, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "1", Operation: admissionv1.Create, Kind: metav1.GroupVersionKind{Group: c.Group(), Kind: c.Kind()},
			Object: runtime.RawExtension{Raw: raw},
		},
	})
	if err != nil {
		return err
	}
	request := httptest.NewRequest(http.MethodPost, "/validate", bytes.NewReader(review))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	webhook.ServeHTTP(recorder, request)
	var answer admissionv1.AdmissionReview
	if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil || answer.Response == nil {
		return fmt.Errorf("the answer can't be read: %w", err)
	}
	if answer.Response.Allowed != c.ours.Stored() || !slices.Equal(answer.Response.Warnings, c.said.Warnings) {
		return fmt.Errorf("the webhook allows it: %v, with warnings %q; offline it is %v, with %q",
			answer.Response.Allowed, answer.Response.Warnings, c.ours, c.said.Warnings)
	}
	for _, text := range c.said.Refused {
		if !strings.Contains(answer.Response.Result.Message, text) {
			return fmt.Errorf("the webhook doesn't say %q", text)
		}
	}
	return nil
}
