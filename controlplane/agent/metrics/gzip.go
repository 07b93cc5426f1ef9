// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// compressors are kept, as each has more than a megabyte of tables.
var compressors = sync.Pool{New: func() any {
	// The level is one of the package's: there is no error.
	w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	return w
}}

// compressed is the writer of a response: gzip when the caller takes it.
// Finish ends the body.
func compressed(response http.ResponseWriter, r *http.Request) (to io.Writer, finish func()) {
	response.Header().Set("Vary", "Accept-Encoding")
	if !takesGzip(r.Header.Values("Accept-Encoding")) {
		return response, func() {}
	}
	response.Header().Set("Content-Encoding", "gzip")
	w := compressors.Get().(*gzip.Writer)
	w.Reset(response)
	return w, func() {
		// Whoever hung up doesn't miss the end.
		_ = w.Close()
		w.Reset(io.Discard)
		compressors.Put(w)
	}
}

// takesGzip reads Accept-Encoding. A weight of zero is a no.
func takesGzip(headers []string) bool {
	for _, header := range headers {
		for offer := range strings.SplitSeq(header, ",") {
			coding, parameters, _ := strings.Cut(offer, ";")
			if coding = strings.TrimSpace(coding); !strings.EqualFold(coding, "gzip") && coding != "*" {
				continue
			}
			q, ok := strings.CutPrefix(strings.ReplaceAll(parameters, " ", ""), "q=")
			weight, err := strconv.ParseFloat(q, 64)
			if !ok || err != nil || weight > 0 {
				return true
			}
		}
	}
	return false
}
