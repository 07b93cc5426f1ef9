// SPDX-License-Identifier: Apache-2.0

package validate

import (
	"fmt"
	"net/http"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
	"github.com/isthmesh/isthmesh/controlplane/webhook"
)

// Handler is the admission webhook: an http.Handler for AdmissionReview v1,
// safe for concurrent use.
type Handler struct{ settings model.Settings }

// NewHandler makes the webhook of a mesh of these settings.
func NewHandler(settings model.Settings) *Handler { return &Handler{settings: settings} }

// ServeHTTP answers one review. It writes nothing, so a dry run needs nothing of its own.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { webhook.Serve(w, r, h.review) }

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
