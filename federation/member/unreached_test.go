// SPDX-License-Identifier: Apache-2.0

package member

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	federationv1 "github.com/isthmesh/isthmesh/api/federation/v1"
	"github.com/isthmesh/isthmesh/controlplane/model"
)

// TestUnreached plays what happens, one word each: "set=1,2" are the gateways of
// other members that don't answer, "welcome" is a hub that takes them, "old" one
// that knows nothing of them, "lost" the end of the stream, "busy" a hub that is sent
// something else. Wanted is what the hub is sent: a list for each message.
func TestUnreached(t *testing.T) {
	for name, test := range map[string]struct{ script, want string }{
		"ThereBefore":         {"set=1 welcome", "[1]"},
		"ThereAfter":          {"welcome set=1", "[1]"},
		"NoneAreNoNews":       {"set= welcome set=", ""},
		"EachChangeOnce":      {"welcome set=1 set=1 set=1,2 set=1,2 set=2", "[1] [1,2] [2]"},
		"NoneAnyMore":         {"welcome set=1 set=", "[1] []"},
		"BeforeAnyStream":     {"set=1 set=2", ""},
		"TheNewestAlone":      {"set=1 set=1,2 welcome", "[1,2]"},
		"AnotherStream":       {"welcome set=1 lost welcome", "[1] [1]"},
		"WhileAway":           {"welcome set=1 lost set=2 welcome", "[1] [2]"},
		"NoneWhileAway":       {"welcome set=1 lost set= welcome", "[1]"}, // a hub that begins knows of none
		"OldHub":              {"old set=1 set=1,2", ""},
		"OldHubIsReplaced":    {"old set=1 lost welcome", "[1]"},
		"ReplacedByAnOldHub":  {"welcome set=1 lost old set=2", "[1]"},
		"NothingAfterTheEnd":  {"welcome lost set=1", ""},
		"AmongOthersMessages": {"welcome busy set=1", "ack [1]"},
	} {
		t.Run(name, func(t *testing.T) {
			c := New(Options{Member: "west"})
			var got []string
			for _, word := range strings.Fields(test.script) {
				verb, list, _ := strings.Cut(word, "=")
				switch verb {
				case "set":
					c.SetUnreached(gatewaysOf(list))
				case "welcome", "old":
					take(t, c, &federationv1.HubMessage{Message: &federationv1.HubMessage_Welcome{
						Welcome: &federationv1.Welcome{Member: "west", TakesUnreached: verb == "welcome"},
					}})
				case "busy":
					take(t, c, &federationv1.HubMessage{Message: &federationv1.HubMessage_Imports{Imports: &federationv1.ImportUpdate{Nonce: 1}}})
				case "lost":
					c.ended(errors.New("the hub closed the stream"))
				}
				got = append(got, sent(c)...)
			}
			if d := cmp.Diff(test.want, strings.Join(got, " ")); d != "" {
				t.Errorf("sent (-want +got):\n%s", d)
			}
		})
	}
}

// gatewaysOf east, by the last number of their addresses.
func gatewaysOf(list string) []model.RemoteGateway {
	var out []model.RemoteGateway
	for _, n := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		out = append(out, model.RemoteGateway{Cluster: "east", GatewayAddress: model.GatewayAddress{Address: "192.0.2." + n, Port: 15443}})
	}
	return out
}

func take(t *testing.T, c *Client, m *federationv1.HubMessage) {
	t.Helper()
	if err := c.take(m); err != nil {
		t.Fatal(err)
	}
}

// sent is what the loop that sends would send now: nothing unless it was woken.
func sent(c *Client) []string {
	var out []string
	select {
	case <-c.send:
	default:
		return nil
	}
	for m := c.next(); m != nil; m = c.next() {
		if m.GetUnreached() == nil {
			out = append(out, "ack")
			continue
		}
		var list []string
		for _, g := range m.GetUnreached().GetGateways() {
			n := strings.TrimPrefix(g.GetGateway().GetAddress(), "192.0.2.")
			if g.GetMember() != "east" || g.GetGateway().GetPort() != 15443 {
				n = g.String()
			}
			list = append(list, n)
		}
		out = append(out, "["+strings.Join(list, ",")+"]")
	}
	return out
}
