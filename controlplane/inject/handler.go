// SPDX-License-Identifier: Apache-2.0

package inject

import (
	"encoding/json"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/webhook"
)

// Handler is the admission webhook: an http.Handler for AdmissionReview v1. It
// is safe for concurrent use.
type Handler struct {
	config     func() (Config, error)
	namespaces func(name string) map[string]string

	requests, injected, skipped prometheus.Counter
	failed                      *prometheus.CounterVec
	duration                    prometheus.Histogram
}

// NewHandler makes the webhook. Config is asked for each pod; an error of it
// is told to who creates the pod. Namespaces gives the labels of a namespace,
// nil when it is not known; it may be nil itself.
func NewHandler(config func() (Config, error), namespaces func(name string) map[string]string, r prometheus.Registerer) *Handler {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	h := &Handler{
		config: config, namespaces: namespaces,
		requests: counter("sidecar_injection_requests_total", "Pods that were shown to the injector."),
		injected: counter("sidecar_injection_success_total", "Pods that were injected."),
		skipped:  counter("sidecar_injection_skip_total", "Pods that were let through as they are."),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sidecar_injection_failure_total", Help: "Pods that were not admitted, by whose mistake it is.",
		}, []string{"cause"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sidecar_injection_time_seconds", Help: "Time that an injection took.", Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .5, 1},
		}),
	}
	r.MustRegister(h.requests, h.injected, h.skipped, h.failed, h.duration)
	return h
}

// ServeHTTP answers one review. It has no effect beside its answer, so that a
// dry run needs nothing of its own.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.requests.Inc()
	timer := prometheus.NewTimer(h.duration)
	defer timer.ObserveDuration()

	answer := func(request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
		return h.review(r, request)
	}
	if !webhook.Serve(w, r, answer) {
		h.failed.WithLabelValues("request").Inc()
	}
}

func (h *Handler) review(r *http.Request, request *admissionv1.AdmissionRequest) (answer *admissionv1.AdmissionResponse) {
	log := logr.FromContextOrDiscard(r.Context()).WithValues("namespace", request.Namespace, "pod", request.Name)
	began := time.Now()
	defer func() {
		// A pod that makes the engine panic must not take the webhook, and with
		// it everybody's pods, away.
		if cause := recover(); cause != nil {
			log.Error(fmt.Errorf("%v", cause), "Injection panicked", "stack", string(debug.Stack()))
			answer = h.deny("panic", http.StatusInternalServerError, "the sidecar injector cannot handle this pod; its log says more")
		}
	}()
	if request.Resource != (metav1.GroupVersionResource{Version: "v1", Resource: "pods"}) || request.Operation != admissionv1.Create || request.SubResource != "" {
		h.skipped.Inc()
		return &admissionv1.AdmissionResponse{Allowed: true}
	}
	var pod corev1.Pod
	if err := json.Unmarshal(request.Object.Raw, &pod); err != nil {
		return h.deny("request", http.StatusBadRequest, fmt.Sprintf("the object is not a pod: %v", err))
	}
	config, err := h.config()
	if err != nil && pod.Labels[injectKey] == "false" {
		// A gateway: whole by itself, it must not wait for anybody.
		log.Error(err, "Gateway admitted as it is: the injector's configuration cannot be used")
		h.skipped.Inc()
		return &admissionv1.AdmissionResponse{Allowed: true, Warnings: []string{"the proxy's configuration is not looked at: the injector's configuration cannot be used"}}
	}
	if err != nil {
		log.Error(err, "Pod not admitted: the injector's configuration cannot be used")
		return h.deny("configuration", http.StatusInternalServerError, fmt.Sprintf("the sidecar injector's configuration cannot be used: %v", err))
	}
	config.Namespace = request.Namespace
	if h.namespaces != nil {
		config.NamespaceLabels = h.namespaces(request.Namespace)
	}
	result, err := Inject(&pod, config)
	switch {
	case Refused(err):
		log.Info("Pod refused", "cause", err.Error())
		return h.deny("pod", http.StatusUnprocessableEntity, err.Error())
	case err != nil:
		log.Error(err, "Pod not admitted")
		return h.deny("configuration", http.StatusInternalServerError, fmt.Sprintf("inject the sidecar: %v", err))
	case result.Skipped != "":
		h.skipped.Inc()
		return &admissionv1.AdmissionResponse{Allowed: true, Warnings: result.Warnings}
	}
	operations, err := patch(&pod, result.Pod)
	if err != nil {
		return h.deny("configuration", http.StatusInternalServerError, err.Error())
	}
	body, err := json.Marshal(operations)
	if err != nil {
		return h.deny("configuration", http.StatusInternalServerError, err.Error())
	}
	h.injected.Inc()
	log.V(1).Info("Sidecar injected", "took", time.Since(began).String(), "dryRun", request.DryRun != nil && *request.DryRun)
	kind := admissionv1.PatchTypeJSONPatch
	return &admissionv1.AdmissionResponse{Allowed: true, Patch: body, PatchType: &kind, Warnings: result.Warnings}
}

func (h *Handler) deny(cause string, code int32, message string) *admissionv1.AdmissionResponse {
	h.failed.WithLabelValues(cause).Inc()
	return &admissionv1.AdmissionResponse{Result: &metav1.Status{Status: metav1.StatusFailure, Code: code, Message: message}}
}
