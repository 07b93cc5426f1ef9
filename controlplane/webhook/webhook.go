// SPDX-License-Identifier: Apache-2.0

// Package webhook is the wire between the API server and what it asks about
// objects: an AdmissionReview comes, and goes back with an answer. Packages
// inject and validate say what the answer is.
package webhook

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
)

// MaxBytes of a review are above what the API server ever sends: objects end at
// 3 MiB, and a review may hold one twice.
const MaxBytes = 7 << 20

// Serve answers one AdmissionReview of admission.k8s.io/v1. It is false when the
// request holds none, which it then tells who asked.
func Serve(w http.ResponseWriter, r *http.Request, answer func(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse) bool {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		http.Error(w, "the content type must be application/json", http.StatusUnsupportedMediaType)
		return false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBytes))
	if err != nil {
		http.Error(w, fmt.Sprintf("read the review: %v", err), http.StatusRequestEntityTooLarge)
		return false
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil || review.Request == nil || review.APIVersion != admissionv1.SchemeGroupVersion.String() {
		http.Error(w, "the body must be an AdmissionReview of admission.k8s.io/v1 with a request", http.StatusBadRequest)
		return false
	}
	response := answer(review.Request)
	response.UID = review.Request.UID
	out, err := json.Marshal(admissionv1.AdmissionReview{TypeMeta: review.TypeMeta, Response: response})
	if err != nil {
		http.Error(w, fmt.Sprintf("write the review: %v", err), http.StatusInternalServerError)
		return true
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(out)
	return true
}
