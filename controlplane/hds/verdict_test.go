// SPDX-License-Identifier: Apache-2.0

package hds

import (
	"strings"
	"testing"
	"time"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestVerdict plays what checkers report, one word each: a checker's name and
// what it finds ("a=pass", "a=fail", "a=hang", "a=ask" when it is told what to
// check, "a=end" when its stream ends), or how long nothing happens; then says
// whether the gateway is out of use.
func TestVerdict(t *testing.T) {
	g := model.RemoteGateway{Cluster: "east", GatewayAddress: model.GatewayAddress{Address: "192.0.2.1", Port: 15443}}
	// settle is 8 s, fresh 5 s, hold 23 s.
	timing := timingOf(&model.GatewayChecks{IntervalMillis: 2000, TimeoutMillis: 1000, UnhealthyThreshold: 2, HealthyThreshold: 3})
	for name, test := range map[string]struct {
		script string
		out    bool
	}{
		"NobodySays":               {"", false},
		"NotCheckedYet":            {"a=ask a=fail", false},
		"Passes":                   {"a=ask a=pass", false},
		"FailsAfterPassing":        {"a=ask 3s a=pass a=fail", true},
		"PassesAgain":              {"a=ask 3s a=pass a=fail 1s a=pass", false},
		"PassedOnlyWhenJustAsked":  {"a=ask 1s a=pass a=fail", false},
		"NeverPassed":              {"a=ask a=fail 1h a=fail", false},
		"HangsFromTheStart":        {"a=ask a=hang 7s a=hang", false},
		"HangsLongEnough":          {"a=ask a=hang 8s a=hang", true},
		"AnotherSawItPass":         {"b=ask b=pass b=end a=ask a=fail 8s a=fail", true},
		"OneOfTwoReachesIt":        {"a=ask b=ask 3s a=pass b=pass a=fail b=pass", false},
		"BothDoNot":                {"a=ask b=ask 3s a=pass b=pass a=fail b=hang", true},
		"NewcomerKnowsNothing":     {"a=ask 3s a=pass a=fail b=ask b=fail", true},
		"NewcomerReachesIt":        {"a=ask 3s a=pass a=fail b=ask b=pass", false},
		"CheckerGoes":              {"a=ask 3s a=pass a=fail a=end 22s", true},
		"CheckerIsGone":            {"a=ask 3s a=pass a=fail a=end 24s", false},
		"CheckerSaysNothing":       {"a=ask 3s a=pass a=fail 24s", false},
		"GoodWordIsStale":          {"a=ask b=ask 3s a=pass b=pass 4s a=fail 2s a=fail", true},
		"GoodWordOfOneThatIsGone":  {"a=ask b=ask 3s a=pass b=pass b=end a=fail", true},
		"AskedAgainWhilePassing":   {"a=ask 3s a=pass a=ask a=fail", false},
		"AskedAgainWhileFailing":   {"a=ask 3s a=pass a=fail a=ask a=fail", true},
		"AskedAgainReportUnderWay": {"a=ask 3s a=pass a=ask a=pass a=fail", false},
	} {
		t.Run(name, func(t *testing.T) {
			now, known := time.Unix(0, 0), false
			checkers := map[string]*checker{}
			for _, word := range strings.Fields(test.script) {
				who, what, says := strings.Cut(word, "=")
				if !says {
					d, err := time.ParseDuration(word)
					if err != nil {
						t.Fatal(err)
					}
					now = now.Add(d)
					continue
				}
				c := checkers[who]
				if c == nil {
					c = &checker{found: map[model.RemoteGateway]*observation{}}
					checkers[who] = c
				}
				switch what {
				case "ask":
					c.reask(now)
				case "end":
					c.ended = true
				default:
					c.said = now
					c.observe(g, map[string]finding{"pass": passing, "fail": failing, "hang": hanging}[what], now)
					known = known || what == "pass"
				}
			}
			var opinions []opinion
			for _, c := range checkers {
				opinions = append(opinions, c.opinion(g, known, timing, now))
			}
			if got := lost(opinions); got != test.out {
				t.Errorf("out of use is %v, want %v", got, test.out)
			}
		})
	}
}
