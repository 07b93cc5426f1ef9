// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/isthmesh/isthmesh/api/v1alpha1"
	"github.com/isthmesh/isthmesh/controllers/meshmember"
	"github.com/isthmesh/isthmesh/controllers/remote"
	"github.com/isthmesh/isthmesh/controlplane/ingest/fields"
)

// Names of what the chart makes for the webhook.
const (
	// Path that the API server calls.
	Path = "/validate"
	// ServiceName of the Service it calls, and ConfigurationName of the
	// ValidatingWebhookConfiguration that says so.
	ServiceName       = "isthmesh-hub-webhook"
	ConfigurationName = "isthmesh-hub"
)

const (
	// maxObject is more than the API server stores of one object.
	maxObject = 4 << 20
	// patience with one look at the cluster: the API server waits for 5 s.
	patience = 3 * time.Second
)

// Webhook judges reviews of both kinds. It writes nothing, so a dry run needs
// nothing of its own.
type Webhook struct {
	// Reader of federations, members (from a cache) and Secrets.
	Reader client.Reader
	// AllowLoopback accepts kubeconfigs whose server is on loopback, as remote.Clusters does.
	AllowLoopback bool
}

// Handler serves reviews over HTTP. It bounds their size, and answers one that
// panics with an error.
func (w *Webhook) Handler() http.Handler {
	panics := true
	return &admission.Webhook{Handler: w, RecoverPanic: &panics}
}

// Handle answers one review.
func (w *Webhook) Handle(ctx context.Context, request admission.Request) admission.Response {
	if request.Operation != admissionv1.Create && request.Operation != admissionv1.Update || request.SubResource != "" {
		return admission.Allowed("")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	switch request.Kind.Kind {
	case "MeshFederation":
		return review(ctx, request, &v1alpha1.MeshFederation{}, &v1alpha1.MeshFederation{}, sameFederation, w.federation)
	case "MeshMember":
		return review(ctx, request, &v1alpha1.MeshMember{}, &v1alpha1.MeshMember{}, sameMember, w.member)
	default:
		return admission.Allowed("")
	}
}

// review reads an object as it shall be and as it was, and has it judged unless
// there is nothing to judge: an object on its way out is let go whatever it
// says, and so is a change of finalizers and annotations.
func review[T client.Object](ctx context.Context, request admission.Request, now, was T, same func(now, was T) bool,
	judge func(ctx context.Context, now, was T) Verdict,
) admission.Response {
	update := request.Operation == admissionv1.Update
	var meta metav1.PartialObjectMetadata
	if read(request.Object.Raw, &meta) == nil && meta.DeletionTimestamp != nil {
		return admission.Allowed("")
	}
	unread := read(request.OldObject.Raw, was)
	if err := read(request.Object.Raw, now); err != nil {
		text := clip(fmt.Sprintf("%s %s/%s can't be read: %v; correct it", request.Kind.Kind, request.Namespace, request.Name, err))
		if update && unread != nil {
			return admission.Allowed("").WithWarnings(text) // as it was before
		}
		return refused(Verdict{Refused: []string{text}})
	}
	// What admission knows better: a name may be given later.
	now.SetNamespace(request.Namespace)
	if now.GetName() == "" {
		now.SetName(now.GetGenerateName())
	}
	var none T
	before := none
	if update && unread == nil {
		was.SetNamespace(request.Namespace)
		if same(now, was) {
			return admission.Allowed("")
		}
		before = was
	}
	v := judge(ctx, now, before)
	if len(v.Refused) > 0 {
		return refused(v)
	}
	return admission.Allowed("").WithWarnings(v.Warnings...)
}

// read JSON of bounded size and depth.
func read(raw []byte, into any) error {
	switch {
	case len(raw) > maxObject:
		return fmt.Errorf("it has %d bytes, of which %d are possible", len(raw), maxObject)
	case fields.TooDeep(raw):
		return fmt.Errorf("it is nested deeper than %d levels", fields.MaxDepth)
	case !bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")):
		return fmt.Errorf("it is no JSON object")
	}
	return json.Unmarshal(raw, into)
}

func sameFederation(now, was *v1alpha1.MeshFederation) bool {
	return equality.Semantic.DeepEqual(now.Spec, was.Spec)
}

func sameMember(now, was *v1alpha1.MeshMember) bool {
	return equality.Semantic.DeepEqual(now.Spec, was.Spec) && equality.Semantic.DeepEqual(now.Labels, was.Labels)
}

func refused(v Verdict) admission.Response {
	return admission.Response{AdmissionResponse: admissionv1.AdmissionResponse{Warnings: v.Warnings, Result: &metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid, Message: strings.Join(v.Refused, "; "),
	}}}
}

func (w *Webhook) federation(ctx context.Context, now, was *v1alpha1.MeshFederation) Verdict {
	world, problem := w.world(ctx, now.Namespace)
	return noted(Federation(now, was, world), problem)
}

func (w *Webhook) member(ctx context.Context, now, was *v1alpha1.MeshMember) Verdict {
	world, problem := w.world(ctx, now.Namespace)
	return noted(Member(now, was, w.kubeconfig(ctx, now), world), problem)
}

// world is what the hub knows of a namespace. What it can't look up refuses nothing.
func (w *Webhook) world(ctx context.Context, namespace string) (World, string) {
	var federations v1alpha1.MeshFederationList
	var members v1alpha1.MeshMemberList
	for _, l := range []client.ObjectList{&federations, &members} {
		if err := w.Reader.List(ctx, l, client.InNamespace(namespace)); err != nil {
			logr.FromContextOrDiscard(ctx).Error(err, "an object is judged without the others of its namespace", "namespace", namespace)
			return World{}, "the hub could not look at the other objects of the namespace now: the object's conditions tell how it goes with them"
		}
	}
	return World{Federations: federations.Items, Members: members.Items}, ""
}

func noted(v Verdict, warning string) Verdict {
	if warning != "" {
		v.Warnings = append(v.Warnings, warning)
	}
	return v
}

// kubeconfig tells what is wrong with the Secret that a member names, in the
// words of its condition Reachable; empty is nothing, or that it can't be seen.
func (w *Webhook) kubeconfig(ctx context.Context, m *v1alpha1.MeshMember) string {
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: m.Namespace, Name: meshmember.SecretName(m)}
	if key.Name == "" {
		return "" // the API server refuses this
	}
	switch err := w.Reader.Get(ctx, key, &secret); {
	case apierrors.IsNotFound(err):
		return fmt.Sprintf("Secret %q with the cluster's kubeconfig is not there yet: the member joins when it is", key.Name)
	case err != nil:
		logr.FromContextOrDiscard(ctx).V(1).Info("kubeconfig not looked at", "secret", key.String(), "cause", err.Error())
		return ""
	}
	if _, err := remote.Kubeconfig(secret.Name, secret.Data, w.AllowLoopback); err != nil {
		return err.Error()
	}
	return ""
}
