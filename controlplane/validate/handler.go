// SPDX-License-Identifier: Apache-2.0

package validate

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// maxBody is above what the API server ever sends: objects end at 3 MiB, and a
// review may hold one twice.
const maxBody = 7 << 20

// Handler is the admission webhook: an http.Handler for AdmissionReview v1,
// safe for concurrent use.
type Handler struct{ settings model.Settings }

// NewHandler makes the webhook of a mesh of these settings.
func NewHandler(settings model.Settings) *Handler { return &Handler{settings: settings} }

// ServeHTTP answers one review. It writes nothing, so a dry run needs nothing of its own.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		http.Error(w, "the content type must be application/json", http.StatusUnsupportedMediaType)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, fmt.Sprintf("read the review: %v", err), http.StatusRequestEntityTooLarge)
		return
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil || review.Request == nil || review.APIVersion != admissionv1.SchemeGroupVersion.String() {
		http.Error(w, "the body must be an AdmissionReview of admission.k8s.io/v1 with a request", http.StatusBadRequest)
		return
	}
	answer := h.review(review.Request)
	answer.UID = review.Request.UID
	out, err := json.Marshal(admissionv1.AdmissionReview{TypeMeta: review.TypeMeta, Response: answer})
	if err != nil {
		http.Error(w, fmt.Sprintf("write the review: %v", err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(out)
}

func (h *Handler) review(request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	if request.Operation != admissionv1.Create && request.Operation != admissionv1.Update || request.SubResource != "" {
		return &admissionv1.AdmissionResponse{Allowed: true}
	}
	v := Object(request.Kind.Group, request.Kind.Kind, request.Object.Raw, h.settings)
	if len(v.Refused) == 0 {
		return &admissionv1.AdmissionResponse{Allowed: true, Warnings: v.Warnings}
	}
	return &admissionv1.AdmissionResponse{Warnings: v.Warnings, Result: &metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid,
		Message: fmt.Sprintf("%s %s/%s: %s", request.Kind.Kind, request.Namespace, request.Name, strings.Join(v.Refused, "; ")),
	}}
}
