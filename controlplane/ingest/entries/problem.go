// SPDX-License-Identifier: Apache-2.0

package entries

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmesh/isthmesh/controlplane/model"
)

// Reasons of Problems, as elsewhere in ingest.
const (
	invalid      = "Invalid"
	conflict     = "Conflict"
	noEffect     = "NoEffect"
	notSupported = "NotSupported"
	rejected     = "Rejected"
)

// Kinds that are read here.
const (
	kindPod           = "Pod"
	kindServiceEntry  = "ServiceEntry"
	kindWorkloadEntry = "WorkloadEntry"
	kindWorkloadGroup = "WorkloadGroup"
)

func originOf(kind string, o metav1.Object) model.Origin {
	return model.Origin{
		Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName(),
		CreatedUnix: o.GetCreationTimestamp().Unix(),
	}
}

// report collects the Problems of one object.
type report struct {
	of       model.Origin
	problems []model.Problem
}

func (r *report) add(field, reason, format string, args ...any) {
	r.problems = append(r.problems, r.of.Problem(field, reason, fmt.Sprintf(format, args...)))
}
