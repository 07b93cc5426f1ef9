// SPDX-License-Identifier: Apache-2.0

package pipeline_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/isthmesh/isthmesh/test/pipeline/rig"
)

// upstreamSources is the folder of Istio's own sources in the module cache.
var upstreamSources = sync.OnceValues(func() (string, error) {
	download := exec.Command("go", "mod", "download", "-json", "istio.io/istio")
	download.Dir = filepath.Join("..", "conformance", "echoadvanced")
	out, err := download.Output()
	var module struct{ Dir string }
	if jsonErr := json.Unmarshal(out, &module); jsonErr == nil && module.Dir != "" {
		return module.Dir, nil
	}
	return "", err
})

// upstream is one of Istio's own sample files, as it is.
func upstream(t *testing.T, path string) []byte {
	t.Helper()
	dir, err := upstreamSources()
	if err != nil || dir == "" {
		t.Fatalf("Istio's samples are not in the module cache: run `make prepare` (%v)", err)
	}
	text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// nameServer answers for a few names in a pod, and that there are no others.
func nameServer(p *rig.Pod, names map[string]string) netip.AddrPort {
	c := p.ListenUDP("0.0.0.0:53")
	go func() {
		b := make([]byte, 4096)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			var q dns.Msg
			if q.Unpack(b[:n]) != nil || len(q.Question) != 1 {
				continue
			}
			a := new(dns.Msg).SetReply(&q)
			address, known := names[strings.TrimSuffix(q.Question[0].Name, ".")]
			switch {
			case !known:
				a.Rcode = dns.RcodeNameError
			case q.Question[0].Qtype == dns.TypeA:
				a.Answer = []dns.RR{&dns.A{
					Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60},
					A:   netip.MustParseAddr(address).AsSlice(),
				}}
			}
			if packed, err := a.Pack(); err == nil {
				_, _ = c.WriteTo(packed, from)
			}
		}
	}()
	return netip.AddrPortFrom(p.Address, 53)
}
