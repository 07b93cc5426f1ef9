// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"time"
)

// book is what details tells.
type book struct {
	ID        int    `json:"id"`
	Author    string `json:"author"`
	Year      any    `json:"year"`
	Type      string `json:"type"`
	Pages     int    `json:"pages"`
	Publisher string `json:"publisher"`
	Language  string `json:"language"`
	ISBN10    string `json:"ISBN-10"`
	ISBN13    string `json:"ISBN-13"`
}

// details tells about a book. Version 2 asks a service outside the mesh.
type details struct {
	// outside is the base address of that service, or empty.
	outside string
}

func runDetails(ctx context.Context, p process) int {
	var d details
	if p.env("ENABLE_EXTERNAL_BOOK_SERVICE") == "true" {
		d.outside = "https://www.googleapis.com"
		// Then the sidecar is to encrypt.
		if p.env("DO_NOT_ENCRYPT") == "true" {
			d.outside = "http://www.googleapis.com"
		}
	}
	return serve(ctx, p, "details", "9080", d.handler())
}

func (d details) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/health", health("Details is healthy"))
	mux.HandleFunc("/details", d.answer)
	mux.HandleFunc("/details/", d.answer)
	return mux
}

func (d details) answer(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(path.Base(r.URL.Path))
	if err != nil {
		answerJSON(w, http.StatusBadRequest, failure("please provide numeric product id"))
		return
	}
	found := book{
		ID: id, Author: "William Shakespeare", Year: 1595, Type: "paperback", Pages: 200,
		Publisher: "PublisherA", Language: "English", ISBN10: "1234567890", ISBN13: "123-1234567890",
	}
	if d.outside != "" {
		if found, err = d.ask(r.Context(), id, forward(r.Header)); err != nil {
			answerJSON(w, http.StatusBadRequest, failure(err.Error()))
			return
		}
	}
	answerJSON(w, http.StatusOK, found)
}

// volumes is what Google's books service answers, as far as it is of use here.
type volumes struct {
	Items []struct {
		VolumeInfo struct {
			Authors       []string `json:"authors"`
			PublishedDate string   `json:"publishedDate"`
			Publisher     string   `json:"publisher"`
			PageCount     int      `json:"pageCount"`
			PrintType     string   `json:"printType"`
			Language      string   `json:"language"`
			Identifiers   []struct {
				Type       string `json:"type"`
				Identifier string `json:"identifier"`
			} `json:"industryIdentifiers"`
		} `json:"volumeInfo"`
	} `json:"items"`
}

// ask looks up an edition of the play in the service outside.
func (d details) ask(ctx context.Context, id int, headers http.Header) (book, error) {
	const isbn = "0486424618"
	status, body, err := fetch(ctx, d.outside+"/books/v1/volumes?q=isbn:"+isbn, headers, 5*time.Second)
	if err != nil {
		return book{}, err
	}
	if status != http.StatusOK {
		return book{}, fmt.Errorf("the book service answers %d", status)
	}
	var all volumes
	if err := json.Unmarshal(body, &all); err != nil {
		return book{}, fmt.Errorf("the book service's answer: %w", err)
	}
	if len(all.Items) == 0 || len(all.Items[0].VolumeInfo.Authors) == 0 {
		return book{}, errors.New("the book service does not know the book")
	}
	info := all.Items[0].VolumeInfo
	found := book{
		ID: id, Author: info.Authors[0], Year: info.PublishedDate, Type: "unknown", Pages: info.PageCount,
		Publisher: info.Publisher, Language: "unknown",
	}
	if info.PrintType == "BOOK" {
		found.Type = "paperback"
	}
	if info.Language == "en" {
		found.Language = "English"
	}
	for _, i := range info.Identifiers {
		switch i.Type {
		case "ISBN_10":
			found.ISBN10 = i.Identifier
		case "ISBN_13":
			found.ISBN13 = i.Identifier
		}
	}
	return found, nil
}
