// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/policy"
	"github.com/isthmesh/isthmesh/controlplane/policy/verdict"
)

// authzReport is what is told of a pod's policies, to people and to machines.
type authzReport struct {
	Pod       string       `json:"pod"`
	Identity  string       `json:"identity"`
	MutualTLS string       `json:"mutualTLS"`
	Policies  []policyLine `json:"policies"`
	Problems  []finding    `json:"problems,omitempty"`
	Call      *callReport  `json:"call,omitempty"`
	Notes     []string     `json:"notes,omitempty"`
}

// policyLine is a policy that applies, in the order in which they are asked.
type policyLine struct {
	Action string `json:"action"`
	Policy string `json:"policy"`
	Rules  int    `json:"rules"`
	Note   string `json:"note,omitempty"`
}

// callReport is what policies decide on a call.
type callReport struct {
	Call     string `json:"call"`
	Decision string `json:"decision"`
	// Status of the answer to a request that is denied.
	Status  int      `json:"status,omitempty"`
	Why     string   `json:"why"`
	Asks    []string `json:"asks,omitempty"`
	Audits  []string `json:"audits,omitempty"`
	DryRuns []string `json:"dryRuns,omitempty"`
}

func (r *authzReport) note(text string) { r.Notes = append(r.Notes, text) }

var actions = map[model.AuthorizationAction]string{model.Allow: "ALLOW", model.Deny: "DENY", model.Audit: "AUDIT", model.Custom: "CUSTOM"}

// policies in the order in which they are asked, and what is wrong with them.
func (r *authzReport) policies(m *model.Mesh, c *policy.Chosen) {
	var problems []model.Problem
	add := func(line policyLine, o model.Origin) {
		line.Policy = o.Namespace + "/" + o.Name
		r.Policies = append(r.Policies, line)
		for _, p := range m.Problems {
			if p.Kind == o.Kind && p.Namespace == o.Namespace && p.Name == o.Name {
				problems = append(problems, p)
			}
		}
	}
	for _, a := range c.Authentications {
		var issuers []string
		for _, rule := range a.Rules {
			issuers = append(issuers, rule.Issuer)
		}
		add(policyLine{Action: "TOKEN", Rules: len(a.Rules), Note: "of " + strings.Join(issuers, ", ")}, a.Origin)
	}
	for _, action := range []model.AuthorizationAction{model.Custom, model.Audit, model.Deny, model.Allow} {
		for _, a := range c.Authorizations {
			if a.Action != action {
				continue
			}
			line := policyLine{Action: actions[action], Rules: len(a.Rules)}
			switch {
			case a.Invalid != "" && action == model.Allow:
				line.Note = "can't be had, so it allows nothing"
			case a.Invalid != "" && action == model.Audit:
				line.Note = "can't be had, so it tells nothing"
			case a.Invalid != "":
				line.Note = "can't be had, so it denies all calls"
			case a.DryRun:
				line.Note = "dry run"
			case a.Provider != "":
				line.Note = "asks " + a.Provider
			case len(a.Rules) == 0 && action == model.Allow:
				line.Note = "allows nothing"
			}
			add(line, a.Origin)
		}
	}
	r.Problems = found(problems)
}

// decided fills in the verdict.
func (c *callReport) decided(v verdict.Verdict) {
	c.Decision, c.Why = "DENIED", named(v.Why)
	for _, entry := range v.Asks {
		c.Asks = append(c.Asks, named(entry))
	}
	for _, entry := range v.Audits {
		c.Audits = append(c.Audits, named(entry))
	}
	for _, entry := range v.DryRuns {
		c.DryRuns = append(c.DryRuns, named(entry))
	}
	switch {
	case v.Allowed && len(v.Asks) > 0:
		c.Decision = "ALLOWED if the authorizers agree"
	case v.Allowed:
		c.Decision = "ALLOWED"
	default:
		c.Status = v.Status
	}
}

// In proxies rules and clusters have the names that Istio gives them.
var (
	ruleName    = regexp.MustCompile(`(?:istio-ext-authz-)?ns\[([^\]]*)\]-policy\[([^\]]*)\]-rule\[(\d+)\]`)
	clusterName = regexp.MustCompile(`outbound\|(\d+)\|\|(\S+)`)
)

// named puts people's names of rules and services for the proxies'.
func named(text string) string {
	return clusterName.ReplaceAllString(ruleName.ReplaceAllString(text, "$1/$2 rule $3"), "$2:$1")
}

func (r *authzReport) print(out io.Writer, format string) error {
	if format == "json" {
		text, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
		_, err = fmt.Fprintln(out, string(text))
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "Pod:\t%s\nIdentity:\t%s\nMutual TLS:\t%s\n", r.Pod, r.Identity, r.MutualTLS)
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	if len(r.Policies) == 0 {
		fmt.Fprintln(out, "No policy applies: every call is allowed.")
	} else {
		fmt.Fprintln(w, "ACTION\tPOLICY\tRULES\tNOTE")
		for _, p := range r.Policies {
			fmt.Fprintln(w, strings.TrimRight(strings.Join([]string{p.Action, p.Policy, strconv.Itoa(p.Rules), p.Note}, "\t"), "\t"))
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if len(r.Problems) > 0 {
		fmt.Fprintln(out)
		if err := printFindings(out, r.Problems, format); err != nil {
			return err
		}
	}
	if r.Call != nil {
		fmt.Fprintln(out)
		r.Call.print(w)
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if len(r.Notes) > 0 {
		fmt.Fprintln(out)
		for _, n := range r.Notes {
			fmt.Fprintln(out, "Note: "+n+".")
		}
	}
	return nil
}

func (c *callReport) print(w io.Writer) {
	decision := c.Decision
	if c.Status != 0 {
		decision += fmt.Sprintf(" with %d", c.Status)
	}
	fmt.Fprintf(w, "Call:\t%s\nDecision:\t%s: %s\n", c.Call, decision, c.Why)
	for _, group := range []struct {
		what string
		list []string
	}{{"Asks:", c.Asks}, {"Audited by:", c.Audits}, {"Dry run of:", c.DryRuns}} {
		for _, entry := range group.list {
			fmt.Fprintf(w, "%s\t%s\n", group.what, entry)
		}
	}
}
