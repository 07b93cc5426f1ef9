// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/isthmesh/isthmesh/controlplane/ca"
	"github.com/isthmesh/isthmesh/federation/member"
)

const (
	// lookAgain at cacerts after it could not be read.
	lookAgain = 5 * time.Second
	// renewEvery is how often it is seen whether the intermediate is due.
	renewEvery = time.Minute
)

// follow puts each new content of cacerts to use, whoever wrote it. When the
// Secret of a federation's member is deleted, it enrols again: that is how the
// hub takes back a CA under a root that is no more. An event only says that
// something changed; one that was missed is made up for by the first look.
func (a *authority) follow(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	notify := func() {
		select {
		case changed <- struct{}{}:
		default: // it has yet to look, and will see this too
		}
	}
	factory := informers.NewSharedInformerFactoryWithOptions(a.kube, 0, informers.WithNamespace(a.namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("metadata.name", ca.CACertsSecret).String()
		}))
	_, err := factory.Core().V1().Secrets().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { notify() }, UpdateFunc: func(any, any) { notify() }, DeleteFunc: func(any) { notify() },
	})
	if err != nil {
		return err
	}
	notify()
	factory.StartWithContext(ctx)
	defer factory.Shutdown()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
		why := ""
		if err := a.look(ctx); err != nil && ctx.Err() == nil {
			if why = err.Error(); why != said {
				logr.FromContextOrDiscard(ctx).WithName("ca").Error(err, "secret cacerts can't be used, the signer in use stays")
			}
			var unusable *unusableError
			if !errors.As(err, &unusable) {
				time.AfterFunc(lookAgain, notify)
			}
		}
		said = why
	}
}

// look at cacerts, and bring the signer in use to what it says. It waits for as
// long as a federation's member has none.
func (a *authority) look(ctx context.Context) error {
	log := logr.FromContextOrDiscard(ctx).WithName("ca")
	signer, err := a.kept(ctx)
	switch used := a.Signer(); {
	case err != nil:
		return err
	case signer == nil && a.federation:
		log.Info("secret cacerts is gone: enrolling again; the signer in use stays until then")
		said := ""
		return a.bringUp(ctx, func(why string) bool {
			news := why != said
			said = why
			return news
		})
	case signer == nil:
		if used != nil && !used.SelfSigned() {
			log.Info("secret cacerts was deleted; the signer in use stays until this control plane ends")
		}
		return nil
	case used != nil && signer.Certificate().Equal(used.Certificate()) && signer.Roots().Equal(used.Roots()):
		return nil
	}
	if err := a.use(signer); err != nil {
		return err
	}
	log.Info("a new signer is in use", "subject", signer.Certificate().Subject.String(), "notAfter", signer.NotAfter())
	return nil
}

// renew gets a new intermediate from the hub when the one in use is due, and
// enrols again when that time was missed.
func (a *authority) renew(ctx context.Context, own *ca.OwnCertificate) error {
	log := logr.FromContextOrDiscard(ctx).WithName("ca")
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	var unsaved *ca.Signer
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		var err error
		if unsaved, err = a.renewDue(ctx, own, unsaved); err != nil && !errors.Is(err, context.Canceled) {
			log.Error(err, "the intermediate is not as it should be; it is tried again", "after", renewEvery.String(), "notAfter", a.Signer().NotAfter())
		}
	}
}

// renewDue does what is due, given the signer that could not be saved the last
// time, and returns that of this time.
func (a *authority) renewDue(ctx context.Context, own *ca.OwnCertificate, unsaved *ca.Signer) (*ca.Signer, error) {
	switch signer := a.Signer(); {
	case signer == nil || signer.SelfSigned():
		return nil, nil
	case !a.now().Before(signer.NotAfter()):
		return nil, a.once(ctx) // it proves nothing to the hub any more: only a token does
	case unsaved != nil && unsaved == signer:
		return a.save(ctx, unsaved)
	case a.now().Before(member.RenewAt(signer.Certificate())):
		return nil, nil
	}
	return a.renewOnce(ctx, own)
}

func (a *authority) renewOnce(ctx context.Context, own *ca.OwnCertificate) (unsaved *ca.Signer, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	kept, err := a.kept(ctx)
	var unusable *unusableError
	if errors.As(err, &unusable) {
		// Whoever spoilt the Secret, the mesh shall not end with the signer in use.
		logr.FromContextOrDiscard(ctx).WithName("ca").Error(err, "what is renewed takes its place")
	} else if err != nil {
		return nil, err
	}
	if kept != nil && !kept.Certificate().Equal(a.Signer().Certificate()) {
		return nil, a.use(kept) // another replica was first
	}
	e, err := a.enrolment(ctx)
	if err != nil {
		return nil, err
	}
	current, err := own.Current()
	if err != nil {
		return nil, err
	}
	data, err := a.hub.renew(ctx, e.Hub, a.TrustDomain().Name(), current)
	if err != nil {
		return nil, err
	}
	signer, err := ca.LoadCACerts(data, a.now())
	if err != nil {
		return nil, err
	}
	if err := a.use(signer); err != nil {
		return nil, err
	}
	return a.save(ctx, signer)
}

// save writes a signer that is in use down, and returns it when that fails: else
// a restart would begin with one that the hub may know no more.
func (a *authority) save(ctx context.Context, signer *ca.Signer) (unsaved *ca.Signer, err error) {
	if err := ca.Save(ctx, a.secrets(), ca.CACertsSecret, signer); err != nil {
		return signer, err
	}
	return nil, nil
}
