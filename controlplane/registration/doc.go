// SPDX-License-Identifier: Apache-2.0

// Package registration decides which WorkloadEntry stands for a machine that
// registers itself with a WorkloadGroup, and when it goes. It lies beside the
// flow: xds hears machines connect and report their health, this package says
// what is to be written, controllers/workloadentry writes it, and ingest reads it
// like any other WorkloadEntry. It is pure.
//
// Names, annotations and the condition are Istio's. Entries are told from those
// that people wrote by their annotation and their owner, and nobody else's is
// ever changed. What a credential doesn't prove is not believed where it decides
// on somebody else: the namespace and the service account are the credential's,
// and what the group's owner wrote goes before what the machine says.
package registration
