// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
)

// The session's cookie holds the user's name and a seal of it. The seal's key is
// known to everybody who reads this, and any password is taken: a sample.
const sessionCookie = "session"

func seal(user string) string {
	mac := hmac.New(sha256.New, []byte("the sample bookstore"))
	mac.Write([]byte(user))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// userOf is who is logged in, or nobody.
func userOf(r *http.Request) string {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return ""
	}
	name, sealed, _ := strings.Cut(cookie.Value, ".")
	user, err := base64.RawURLEncoding.DecodeString(name)
	if err != nil || !hmac.Equal([]byte(sealed), []byte(seal(string(user)))) {
		return ""
	}
	return string(user)
}

func login(w http.ResponseWriter, r *http.Request) {
	user := r.FormValue("username")
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: base64.RawURLEncoding.EncodeToString([]byte(user)) + "." + seal(user), Path: "/", HttpOnly: true,
	})
	back(w, r)
}

func logout(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1, HttpOnly: true})
	back(w, r)
}

// back goes to the page that the user came from.
func back(w http.ResponseWriter, r *http.Request) {
	to := r.Referer()
	if to == "" {
		to = "/productpage"
	}
	http.Redirect(w, r, to, http.StatusFound)
}
