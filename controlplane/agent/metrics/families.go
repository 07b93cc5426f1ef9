// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"bufio"
	"slices"
	"strconv"
)

// standard are the metrics of the mesh, in the order in which they are shown.
var standard = [...]struct {
	name, help string
	histogram  bool
}{
	{"istio_requests_total", "Requests, by who called whom and what came of it.", false},
	{"istio_request_duration_milliseconds", "How long requests took.", true},
	{"istio_request_bytes", "Bytes of requests, headers and body.", true},
	{"istio_response_bytes", "Bytes of responses, headers and body.", true},
	{"istio_request_messages_total", "Messages of gRPC requests.", false},
	{"istio_response_messages_total", "Messages of gRPC responses.", false},
	{"istio_tcp_connections_opened_total", "TCP connections that were opened.", false},
	{"istio_tcp_connections_closed_total", "TCP connections that have ended.", false},
	{"istio_tcp_sent_bytes_total", "Bytes sent to clients of TCP connections.", false},
	{"istio_tcp_received_bytes_total", "Bytes received from clients of TCP connections.", false},
}

// part is what a line has of a series.
type part uint8

const (
	whole part = iota
	bucket
	sum
	count
)

type place struct {
	family int
	part   part
}

// places are where lines go, by the name that Envoy gives them.
var places = func() map[string]place {
	out := map[string]place{}
	for i, s := range standard {
		name := "envoy_" + s.name
		if !s.histogram {
			out[name] = place{i, whole}
			continue
		}
		out[name+"_bucket"], out[name+"_sum"], out[name+"_count"] = place{i, bucket}, place{i, sum}, place{i, count}
	}
	return out
}()

// families is what a page says of the mesh's metrics. Series that have the
// same labels are one: Prometheus refuses a page that names one twice. Kept are
// the labels once for all families, and numbers; a page is some thirty times as large.
type families struct {
	labels map[string]*series
	// inOrder, as they came.
	inOrder []*series
	// les are the texts of buckets, each once.
	les map[string]string
}

// series are the numbers of one set of labels in all families.
type series struct {
	labels string
	values [len(standard)]*numbers
}

type numbers struct {
	value, sum, count float64
	les               []string
	buckets           []float64
	// at is where the next bucket is expected.
	at int
}

func newFamilies() *families {
	return &families{labels: map[string]*series{}, les: map[string]string{}}
}

// find the series with these labels.
func (f *families) find(labels []byte) *series {
	if s := f.labels[string(labels)]; s != nil {
		return s
	}
	s := &series{labels: string(labels)}
	f.labels[s.labels] = s
	f.inOrder = append(f.inOrder, s)
	return s
}

// add a line's number to what is there of its series.
func (f *families) add(s *series, at place, le []byte, value float64) {
	n := s.values[at.family]
	if n == nil {
		n = &numbers{}
		s.values[at.family] = n
	}
	switch at.part {
	case whole:
		n.value += value
	case sum:
		n.sum += value
	case count:
		n.count += value
	case bucket:
		if n.at >= len(n.les) || n.les[n.at] != string(le) {
			n.seek(f.once(le))
		}
		n.buckets[n.at] += value
		n.at++
	}
}

func (f *families) once(le []byte) string {
	text, ok := f.les[string(le)]
	if !ok {
		text = string(le)
		f.les[text] = text
	}
	return text
}

// seek the place of a bucket, and make it where there is none.
func (n *numbers) seek(le string) {
	if n.at = slices.Index(n.les, le); n.at < 0 {
		n.at = n.insert(le)
	}
}

// usual is how many buckets Envoy's histograms have.
const usual = 20

// insert a bucket where it belongs by its size, and say where that is.
func (n *numbers) insert(le string) int {
	if n.les == nil {
		n.les, n.buckets = make([]string, 0, usual), make([]float64, 0, usual)
	}
	at := len(n.les)
	for at > 0 && size(n.les[at-1]) > size(le) {
		at--
	}
	n.les = slices.Insert(n.les, at, le)
	n.buckets = slices.Insert(n.buckets, at, 0)
	return at
}

func size(le string) float64 {
	v, _ := strconv.ParseFloat(le, 64)
	return v
}

// write shows all families, each with its series together.
func (f *families) write(w *bufio.Writer) error {
	var line []byte
	for i, family := range standard {
		described := false
		for _, s := range f.inOrder {
			n := s.values[i]
			if n == nil {
				continue
			}
			line = line[:0]
			if !described {
				described = true
				line = append(line, "# HELP "+family.name+" "+family.help+"\n# TYPE "+family.name+" "...)
				line = append(line, kind(family.histogram)+"\n"...)
			}
			if family.histogram {
				line = n.appendHistogram(line, family.name, s.labels)
			} else {
				line = appendLine(line, family.name, "", s.labels, "", n.value)
			}
			if _, err := w.Write(line); err != nil {
				return err
			}
		}
	}
	return nil
}

func kind(histogram bool) string {
	if histogram {
		return "histogram"
	}
	return "counter"
}

func (n *numbers) appendHistogram(out []byte, name, labels string) []byte {
	for i, le := range n.les {
		out = appendLine(out, name, "_bucket", labels, le, n.buckets[i])
	}
	out = appendLine(out, name, "_sum", labels, "", n.sum)
	return appendLine(out, name, "_count", labels, "", n.count)
}

func appendLine(out []byte, name, suffix, labels, le string, value float64) []byte {
	out = append(append(append(append(out, name...), suffix...), '{'), labels...)
	if le != "" {
		if labels != "" {
			out = append(out, ',')
		}
		out = append(out, leStarts...)
		out = append(append(out, le...), '"')
	}
	return append(appendNumber(append(out, "} "...), value), '\n')
}
