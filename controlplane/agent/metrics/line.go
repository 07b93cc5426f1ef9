// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"bytes"
	"strconv"
	"strings"
)

// tag is one label of a line; both parts are without quotes and escapes.
type tag struct{ name, value string }

// sample is one line of Envoy's page. Le is good until the next line.
type sample struct {
	// tags without le.
	tags  []tag
	le    []byte
	value float64

	// labels are the tags as the line has them: a line that has the same needs
	// no reading.
	labels []byte
	// bucket is the line up to the value of le: the next bucket of the same
	// series begins with it. It is empty when the line is no bucket.
	bucket []byte
}

const leStarts = `le="`

// next reads a line that is a further bucket of the series just read. It is
// false when it is not, and then nothing changed. This is the way of nearly all
// lines, as a histogram has some twenty.
func (s *sample) next(line []byte) bool {
	if len(s.bucket) == 0 || !bytes.HasPrefix(line, s.bucket) {
		return false
	}
	rest := line[len(s.bucket):]
	end := bytes.IndexByte(rest, '"')
	if end < 0 || bytes.IndexByte(rest[:end], '\\') >= 0 || !bytes.HasPrefix(rest[end:], []byte(`"} `)) {
		return false
	}
	value, err := strconv.ParseFloat(string(rest[end+len(`"} `):]), 64)
	if err != nil {
		return false
	}
	s.le, s.value = rest[:end], value
	return true
}

// again reads what comes after the name of a line whose tags are those of the
// line just read, as of a histogram's sum and count. It is false when they are
// not, and then nothing changed.
func (s *sample) again(rest []byte) bool {
	if len(s.labels) == 0 || len(rest) < len(s.labels)+len(`{} 0`) || rest[0] != '{' || !bytes.HasPrefix(rest[1:], s.labels) {
		return false
	}
	text, ok := bytes.CutPrefix(rest[1+len(s.labels):], []byte("} "))
	if !ok {
		return false
	}
	value, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return false
	}
	s.le, s.value, s.bucket = nil, value, s.bucket[:0]
	return true
}

// read reads a line without its end, of which the first bytes are the name. It
// is false when the line isn't one of Prometheus' text format, or has what
// Envoy never writes, such as a time.
func (s *sample) read(line []byte, name int) bool {
	s.tags, s.le, s.bucket, s.labels = s.tags[:0], nil, s.bucket[:0], s.labels[:0]
	isBucket := bytes.HasSuffix(line[:name], []byte("_bucket"))
	// One copy for all tags.
	text, at := string(line), name
	if at < len(text) && text[at] == '{' {
		for at++; at < len(text) && text[at] != '}'; {
			begin := at
			equals := strings.IndexByte(text[at:], '=')
			if equals < 0 || !isName(text[at:at+equals]) {
				return false
			}
			tag := tag{name: text[at : at+equals]}
			value, length := quoted(text[at+equals+1:])
			if length == 0 {
				return false
			}
			tag.value = value
			at += equals + 1 + length
			if isBucket && tag.name == "le" {
				if s.le != nil {
					return false
				}
				s.le = []byte(value)
				s.bucket = append(append(s.bucket[:0], text[:begin]...), leStarts...)
				s.labels = append(s.labels[:0], strings.TrimSuffix(text[name+1:begin], ",")...)
			} else {
				s.tags = append(s.tags, tag)
				// Envoy writes le last; what is remembered is of use only then.
				s.bucket, s.labels = s.bucket[:0], s.labels[:0]
			}
			switch {
			case at < len(text) && text[at] == ',':
				at++
			case at == len(text) || text[at] != '}':
				return false
			}
		}
		if at >= len(text) {
			return false
		}
		at++
	}
	value, err := strconv.ParseFloat(strings.Trim(text[at:], " \t\r"), 64)
	if err != nil {
		return false
	}
	s.value = value
	return !isBucket || s.le != nil
}

// isName is true for what Prometheus takes as the name of a label.
func isName(name string) bool {
	for i, b := range []byte(name) {
		letter := b == '_' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
		if !letter && (i == 0 || b < '0' || b > '9') {
			return false
		}
	}
	return len(name) > 0
}

// quoted reads a value in quotes, and says how long it was with them; 0 when
// there is none, or it doesn't end.
func quoted(text string) (string, int) {
	if text == "" || text[0] != '"' {
		return "", 0
	}
	escaped := false
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			if !escaped {
				return text[1:i], i + 1
			}
			return unescape.Replace(text[1:i]), i + 1
		}
	}
	return "", 0
}

var unescape = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n")

// appendQuoted writes a value as the text format wants it. Bytes that are no
// UTF-8 are replaced: Prometheus would refuse the whole page for them.
func appendQuoted(out []byte, value string) []byte {
	out = append(out, '"')
	value = strings.ToValidUTF8(value, "\uFFFD")
	for i := range len(value) {
		switch b := value[i]; b {
		case '\n':
			out = append(out, '\\', 'n')
		case '\\', '"':
			out = append(out, '\\', b)
		default:
			out = append(out, b)
		}
	}
	return append(out, '"')
}

// appendNumber writes whole numbers without an exponent, as Envoy does.
func appendNumber(out []byte, v float64) []byte {
	const exact = 1 << 53
	if v < exact && v > -exact && v == float64(int64(v)) {
		return strconv.AppendInt(out, int64(v), 10)
	}
	return strconv.AppendFloat(out, v, 'g', -1, 64)
}
