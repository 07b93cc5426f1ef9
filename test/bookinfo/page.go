// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"html/template"
	"image"
	"image/color"
	"image/png"
	"net/http"
)

//go:embed static
var files embed.FS

//go:embed index.html
var indexText string

//go:embed productpage.html
var frontText string

var (
	indexPage = template.Must(template.New("index").Parse(indexText))
	frontPage = template.Must(template.New("front").Parse(frontText))
)

// page is what the front page shows. An answer that is not 200 has only its Error.
type page struct {
	User                         string
	Product                      product
	DetailsStatus, ReviewsStatus int
	Details                      answer[book]
	Reviews                      answer[reviewed]
}

// answer is what a service said, or what to say instead.
type answer[T any] struct {
	Value T
	Error string
}

// read takes JSON of either shape; what is neither shows as nothing.
func (a *answer[T]) read(body []byte) {
	var failed struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(body, &a.Value)
	_ = json.Unmarshal(body, &failed)
	a.Error = failed.Error
}

// Full and Empty count the stars that are shown.
func (r rating) Full() int { return min(max(r.Stars, 0), 5) }

// Empty is how many of five stars are not given.
func (r rating) Empty() int { return 5 - r.Full() }

// service is a row of the index.
type service struct{ Name, Address, Calls string }

func render(w http.ResponseWriter, with *template.Template, value any) {
	var text bytes.Buffer
	if err := with.Execute(&text, value); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// If the client is gone there is nobody to tell.
	_, _ = w.Write(text.Bytes())
}

// static serves the style sheet and the picture of a reader.
func static() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/static/", http.FileServerFS(files))
	mux.HandleFunc("/static/img/izzy.png", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/png")
		// If the client is gone there is nobody to tell.
		_ = png.Encode(w, face(64))
	})
	return mux
}

// face is a round face, drawn.
func face(size int) image.Image {
	picture := image.NewNRGBA(image.Rect(0, 0, size, size))
	skin, ink := color.NRGBA{0xf2, 0xc1, 0x4e, 0xff}, color.NRGBA{0x33, 0x33, 0x33, 0xff}
	inside := func(x, y, cx, cy, r int) bool { return (x-cx)*(x-cx)+(y-cy)*(y-cy) <= r*r }
	for y := range size {
		for x := range size {
			switch {
			case inside(x, y, size/3, size*2/5, size/12), inside(x, y, size*2/3, size*2/5, size/12),
				inside(x, y, size/2, size/2, size/3) && !inside(x, y, size/2, size*3/7, size/3):
				picture.Set(x, y, ink)
			case inside(x, y, size/2, size/2, size/2-1):
				picture.Set(x, y, skin)
			}
		}
	}
	return picture
}
