// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

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
	unsaved    *ca.Signer        // enrolled, and not in cacerts yet
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

// once takes cacerts where it is there; else a federation's member enrols, and
// a mesh on its own makes a root.
func (a *authority) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	secrets := a.kube.CoreV1().Secrets(a.namespace)
	signer, err := ca.Load(ctx, secrets, ca.CACertsSecret, time.Now())
	if err != nil && !(a.federation && errors.Is(err, ca.ErrExpired)) {
		return err // an expired one is replaced by enrolling again
	}
	if signer == nil && a.federation {
		// The token is good for one time: what it gave is kept until it is saved.
		if a.unsaved == nil {
			if a.unsaved, err = a.enrol(ctx); err != nil {
				return err
			}
		}
		if err := ca.Save(ctx, secrets, ca.CACertsSecret, a.unsaved); err != nil {
			return err
		}
		signer, a.unsaved = a.unsaved, nil
	}
	if signer == nil {
		if signer, err = ca.LoadOrMakeSelfSigned(ctx, secrets, a.meshID, rand.Reader, time.Now()); err != nil {
			return err
		}
	}
	return a.use(signer)
}

func (a *authority) use(signer *ca.Signer) error {
	if err := a.Use(signer); err != nil {
		return err
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
		return nil, fmt.Errorf("secret %s/%s has no token: the hub puts one there when it sees that this member has no CA", a.namespace, enrolmentSecret)
	}
	credential, err := member.Enroll(ctx, e, rand.Reader)
	if err != nil {
		return nil, err
	}
	return ca.LoadCACerts(credential.Data(), time.Now())
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

// follow puts each new content of cacerts to use, whoever wrote it. When the
// Secret of a federation's member is deleted, it enrols again: that is how the
// hub takes back a CA under a root that is no more.
func (a *authority) follow(ctx context.Context) error {
	log := logr.FromContextOrDiscard(ctx).WithName("ca")
	deleted := make(chan struct{}, 1)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-deleted:
			}
			said := ""
			err := a.bringUp(ctx, func(why string) bool {
				news := why != said
				said = why
				return news
			})
			if err != nil && ctx.Err() == nil {
				log.Error(err, "the member has no CA of its federation")
			}
		}
	}()
	lw := cache.NewListWatchFromClient(a.kube.CoreV1().RESTClient(), "secrets", a.namespace, fields.OneTermEqualSelector("metadata.name", ca.CACertsSecret))
	reload := func(o any) {
		secret, ok := o.(*corev1.Secret)
		if !ok {
			return
		}
		signer, err := ca.LoadCACerts(secret.Data, time.Now())
		if err == nil && a.Signer() != nil && signer.Certificate().Equal(a.Signer().Certificate()) && signer.Roots().Equal(a.Signer().Roots()) {
			return
		}
		if err == nil {
			err = a.use(signer)
		}
		if err != nil {
			log.Error(err, "secret cacerts can't be used, the signer in use stays")
			return
		}
		log.Info("a new signer is in use", "subject", signer.Certificate().Subject.String(), "notAfter", signer.NotAfter())
	}
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: lw,
		ObjectType:    &corev1.Secret{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    reload,
			UpdateFunc: func(_, o any) { reload(o) },
			DeleteFunc: func(any) {
				if !a.federation {
					log.Info("secret cacerts was deleted; the signer in use stays until this control plane ends")
					return
				}
				log.Info("secret cacerts was deleted: enrolling again; the signer in use stays until then")
				select {
				case deleted <- struct{}{}:
				default: // it is at it
				}
			},
		},
	})
	informer.RunWithContext(ctx)
	return ctx.Err()
}

// renew gets a new intermediate from the hub when the one in use is due.
func (a *authority) renew(ctx context.Context, own *ca.OwnCertificate) error {
	log := logr.FromContextOrDiscard(ctx).WithName("ca")
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		signer := a.Signer()
		if signer == nil || signer.SelfSigned() {
			continue
		}
		due := member.RenewAt(signer.Certificate())
		if time.Now().Before(due) {
			continue
		}
		if err := a.renewOnce(ctx, own); err != nil && !errors.Is(err, context.Canceled) {
			log.Error(err, "the intermediate is due and could not be renewed", "due", due, "notAfter", signer.NotAfter())
		}
	}
}

func (a *authority) renewOnce(ctx context.Context, own *ca.OwnCertificate) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	kept, err := ca.Load(ctx, a.kube.CoreV1().Secrets(a.namespace), ca.CACertsSecret, time.Now())
	if err != nil {
		return err
	}
	if kept != nil && !kept.Certificate().Equal(a.Signer().Certificate()) {
		return a.use(kept) // another replica was first
	}
	e, err := a.enrolment(ctx)
	if err != nil {
		return err
	}
	current, err := own.Current()
	if err != nil {
		return err
	}
	credential, err := member.Renew(ctx, e.Hub, a.TrustDomain().Name(), current, rand.Reader)
	if err != nil {
		return err
	}
	signer, err := ca.LoadCACerts(credential.Data(), time.Now())
	if err != nil {
		return err
	}
	if err := a.use(signer); err != nil {
		return err
	}
	return ca.Save(ctx, a.kube.CoreV1().Secrets(a.namespace), ca.CACertsSecret, signer)
}
