// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"github.com/isthmesh/isthmesh/controlplane/ca"
	"github.com/isthmesh/isthmesh/federation/member"
)

// enrolmentSecret is left by the hub's install.
const enrolmentSecret = "isthmesh-enrolment"

// authority keeps the CA's signer as the Secrets have it.
type authority struct {
	*ca.Authority
	kube       kubernetes.Interface
	namespace  string
	meshID     string
	federation bool
	changed    []chan<- struct{} // told when the roots may have changed
	hub        hubCA
	now        func() time.Time

	mu      sync.Mutex // one at a time brings a signer up
	unsaved *ca.Signer // enrolled, and not in cacerts yet
}

// hubCA are the two ways to a new cacerts: with a token, and with what the
// member has. Tests stand in for them.
type hubCA struct {
	enroll func(context.Context, member.Enrolment) (map[string][]byte, error)
	renew  func(ctx context.Context, h member.Hub, trustDomain string, current *tls.Certificate) (map[string][]byte, error)
}

// overTheWire is the hub itself.
func overTheWire() hubCA {
	data := func(c *member.Credential, err error) (map[string][]byte, error) {
		if err != nil {
			return nil, err
		}
		return c.Data(), nil
	}
	return hubCA{
		enroll: func(ctx context.Context, e member.Enrolment) (map[string][]byte, error) {
			return data(member.Enroll(ctx, e, rand.Reader))
		},
		renew: func(ctx context.Context, h member.Hub, trustDomain string, current *tls.Certificate) (map[string][]byte, error) {
			return data(member.Renew(ctx, h, trustDomain, current, rand.Reader))
		},
	}
}

// bringUp finds, gets or makes a signer and puts it to use; it tries until ctx
// ends, and says why it waits. Of several replicas one enrols, and the others
// find what it wrote.
func (a *authority) bringUp(ctx context.Context, waits func(why string) (news bool)) error {
	log := logr.FromContextOrDiscard(ctx).WithName("ca")
	backoff := wait.Backoff{Duration: 500 * time.Millisecond, Factor: 1.6, Jitter: 0.2, Steps: 12, Cap: 20 * time.Second}
	for {
		err := a.once(ctx)
		if err == nil {
			log.Info("the CA can sign", "subject", a.Signer().Certificate().Subject.String(), "notAfter", a.Signer().NotAfter())
			return nil
		}
		if waits(err.Error()) {
			log.Info("the CA waits for a signer", "cause", err.Error())
		}
		timer := time.NewTimer(backoff.Step())
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// once takes cacerts where it is there and of use; else a federation's member
// enrols, and a mesh on its own makes a root.
func (a *authority) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	a.mu.Lock()
	defer a.mu.Unlock()
	signer, err := a.kept(ctx)
	if signer != nil {
		a.unsaved = nil // another replica was first
		err = a.use(signer)
	}
	var unusable *unusableError
	switch {
	case signer != nil && err == nil:
		return nil
	case errors.As(err, &unusable) && a.federation:
		// An expired one is replaced by enrolling again, and so is one that can't
		// be read when the hub was asked for a token.
		if replaced := a.enrolAndSave(ctx); replaced != nil {
			return fmt.Errorf("%w; it could not be replaced: %w", err, replaced)
		}
		return nil
	case err != nil:
		return err
	case a.federation:
		return a.enrolAndSave(ctx)
	}
	if signer, err = ca.LoadOrMakeSelfSigned(ctx, a.secrets(), a.meshID, rand.Reader, a.now()); err != nil {
		return err
	}
	return a.use(signer)
}

// enrolAndSave gets a signer from the hub. The token is good for one time: what
// it gave is kept until it is saved.
func (a *authority) enrolAndSave(ctx context.Context) error {
	if a.unsaved == nil {
		enrolled, err := a.enrol(ctx)
		if err != nil {
			return err
		}
		a.unsaved = enrolled
	}
	if err := ca.Save(ctx, a.secrets(), ca.CACertsSecret, a.unsaved); err != nil {
		return err
	}
	signer := a.unsaved
	a.unsaved = nil
	return a.use(signer)
}

func (a *authority) secrets() ca.Secrets { return a.kube.CoreV1().Secrets(a.namespace) }

// unusableError is about what Secret cacerts holds, and says what mends it.
type unusableError struct {
	cause error
	mend  string
}

func (e *unusableError) Error() string { return fmt.Sprintf("%v: %s", e.cause, e.mend) }

func (e *unusableError) Unwrap() error { return e.cause }

// kept reads cacerts, nil when it isn't there. An error about its content is an
// *unusableError.
func (a *authority) kept(ctx context.Context) (*ca.Signer, error) {
	secret, err := a.secrets().Get(ctx, ca.CACertsSecret, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read secret %s/%s: %w", a.namespace, ca.CACertsSecret, err)
	}
	signer, err := ca.LoadCACerts(secret.Data, a.now())
	if err != nil {
		return nil, a.unusable(err)
	}
	return signer, nil
}

func (a *authority) unusable(cause error) error {
	return &unusableError{cause: fmt.Errorf("secret %s/%s: %w", a.namespace, ca.CACertsSecret, cause), mend: a.mend()}
}

// mend of a cacerts that is of no use.
func (a *authority) mend() string {
	remove := fmt.Sprintf("`kubectl delete secret %s -n %s`", ca.CACertsSecret, a.namespace)
	if a.federation {
		return remove + " lets this member enrol again with the hub"
	}
	return "put a CA there that can be used, or " + remove + " to go on with a self-signed one, under which all workloads get new identities"
}

func (a *authority) use(signer *ca.Signer) error {
	if err := a.Use(signer); err != nil {
		return a.unusable(err)
	}
	for _, c := range a.changed {
		select {
		case c <- struct{}{}:
		default: // it has yet to look, and will see this too
		}
	}
	return nil
}

// enrol trades the one-time token for an intermediate. The key never leaves this process but into cacerts.
func (a *authority) enrol(ctx context.Context) (*ca.Signer, error) {
	e, err := a.enrolment(ctx)
	if err != nil {
		return nil, err
	}
	if !e.HasToken() {
		return nil, fmt.Errorf("secret %s/%s has no token: the hub puts one there, within minutes, when it sees that this member has no CA or an expired one; if none comes, its MeshMember on the hub says why", a.namespace, enrolmentSecret)
	}
	data, err := a.hub.enroll(ctx, e)
	if err != nil {
		return nil, err
	}
	return ca.LoadCACerts(data, a.now())
}

func (a *authority) enrolment(ctx context.Context) (member.Enrolment, error) {
	secret, err := a.kube.CoreV1().Secrets(a.namespace).Get(ctx, enrolmentSecret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return member.Enrolment{}, fmt.Errorf("secret %s/%s is not there yet: the hub writes it", a.namespace, enrolmentSecret)
	}
	if err != nil {
		return member.Enrolment{}, fmt.Errorf("read secret %s/%s: %w", a.namespace, enrolmentSecret, err)
	}
	e, err := member.ParseEnrolment(secret.Data)
	if err != nil {
		return member.Enrolment{}, fmt.Errorf("secret %s/%s: %w", a.namespace, enrolmentSecret, err)
	}
	return e, nil
}
