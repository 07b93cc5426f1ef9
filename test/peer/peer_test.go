// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/isthmesh/isthmesh/test/verdicts"
)

var (
	update = flag.Bool("update", false, "write the record in test/verdicts anew")
	tell   = flag.String("tell", "", "write what Istio and we say of every case to this file")
)

const record = "../verdicts/testdata/record"

// TestVerdicts holds the record against Istio.
func TestVerdicts(t *testing.T) {
	cases, err := verdicts.Cases()
	if err != nil {
		t.Fatal(err)
	}
	asked := newIstio(t)
	said := verdicts.Record{}
	var told *os.File
	if *tell != "" {
		if told, err = os.Create(*tell); err != nil {
			t.Fatal(err)
		}
		defer told.Close()
	}
	for _, c := range cases {
		verdict, words := asked.verdict(t, c.Object)
		said[c.Name] = verdict
		if told != nil {
			ours, v, err := verdicts.Ours(c)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(told, "%c%c\t%s\t%q\t%q\n", verdict, ours, c.Name, words, append(v.Refused, v.Warnings...))
		}
	}
	if *update {
		if err := said.Write(record, cases); err != nil {
			t.Fatal(err)
		}
		return
	}
	recorded, err := verdicts.ReadRecord(record, cases)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		if recorded[c.Name] != said[c.Name] {
			t.Errorf("%s: Istio says %v, the record has %v", c.Name, said[c.Name], recorded[c.Name])
		}
	}
}
