// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Reasons of conditions, stable for machines. The message says what mends it.
const (
	// Reasons of more than one condition.

	// ReasonNotTried: something before it has to succeed first.
	ReasonNotTried = "NotTried"
	// ReasonDeleting: the object is on its way out.
	ReasonDeleting = "Deleting"
	// ReasonDeletionBlocked: it can't go yet; it does when a time is over.
	ReasonDeletionBlocked = "DeletionBlocked"
	// ReasonProgressing: under way, and nothing is wrong.
	ReasonProgressing = "Progressing"

	// Reasons of Reachable.

	// ReasonConnected: the API server answers and the hub may do there what it has to.
	ReasonConnected = "Connected"
	// ReasonKubeconfigSecretNotFound: the Secret that the member names is not there.
	ReasonKubeconfigSecretNotFound = "KubeconfigSecretNotFound"
	// ReasonKubeconfigInvalid: what the Secret holds can't be used.
	ReasonKubeconfigInvalid = "KubeconfigInvalid"
	// ReasonLoopbackAPIServer: the kubeconfig's server is one that only its own machine reaches.
	ReasonLoopbackAPIServer = "LoopbackAPIServer"
	// ReasonAPIServerUnreachable: nothing answers at the kubeconfig's server.
	ReasonAPIServerUnreachable = "APIServerUnreachable"
	// ReasonAPIServerUntrusted: what answers shows a certificate that the kubeconfig doesn't trust.
	ReasonAPIServerUntrusted = "APIServerUntrusted"
	// ReasonAPIServerError: the API server answers with an error.
	ReasonAPIServerError = "APIServerError"
	// ReasonUnauthorized: the kubeconfig's credentials are refused.
	ReasonUnauthorized = "Unauthorized"
	// ReasonForbidden: the kubeconfig's user lacks rights.
	ReasonForbidden = "Forbidden"
	// ReasonVersionSkew: the cluster's Kubernetes is too old.
	ReasonVersionSkew = "VersionSkew"
	// ReasonClusterAlreadyMember: another MeshMember is the same cluster.
	ReasonClusterAlreadyMember = "ClusterAlreadyMember"
	// ReasonNoFederation: no MeshFederation selects the member.
	ReasonNoFederation = "NoFederation"
	// ReasonFederationConflict: more than one MeshFederation selects the member.
	ReasonFederationConflict = "FederationConflict"

	// Reasons of TrustReady.

	// ReasonIssued: the CA certificate is there and in time.
	ReasonIssued = "Issued"
	// ReasonRootNotReady: the federation has no root yet.
	ReasonRootNotReady = "RootNotReady"
	// ReasonRootSecretNotFound: the Secret with the root is not there.
	ReasonRootSecretNotFound = "RootSecretNotFound"
	// ReasonRootLost: the root was there, and its Secret is gone.
	ReasonRootLost = "RootLost"
	// ReasonRootChanged: the Secret holds another root than before.
	ReasonRootChanged = "RootChanged"
	// ReasonRootInvalid: the root can't sign.
	ReasonRootInvalid = "RootInvalid"
	// ReasonRootExpiring: the root expires within 90 days.
	ReasonRootExpiring = "RootExpiring"
	// ReasonHubAddressPending: nobody knows yet where members reach the hub.
	ReasonHubAddressPending = "HubAddressPending"
	// ReasonEnrolling: the member has a token and hasn't used it yet.
	ReasonEnrolling = "Enrolling"
	// ReasonForeignCA: the member's control plane has a CA that is not the federation's.
	ReasonForeignCA = "ForeignCA"
	// ReasonIntermediateExpired: the member's CA certificate is out of date.
	ReasonIntermediateExpired = "IntermediateExpired"
	// ReasonTrustDomainInvalid: the member's trust domain can't be one.
	ReasonTrustDomainInvalid = "TrustDomainInvalid"

	// Reasons of ControlPlaneReady and GatewayReady.

	// ReasonAvailable: what is installed is up.
	ReasonAvailable = "Available"
	// ReasonRollingOut: what is installed is on its way up.
	ReasonRollingOut = "RollingOut"
	// ReasonValuesInvalid: the chart refuses the values.
	ReasonValuesInvalid = "ValuesInvalid"
	// ReasonRenderFailed: the chart can't be rendered.
	ReasonRenderFailed = "RenderFailed"
	// ReasonInstallConflict: the cluster has objects of these names that are not ours.
	ReasonInstallConflict = "InstallConflict"
	// ReasonInstallFailed: the API server refuses an object.
	ReasonInstallFailed = "InstallFailed"
	// ReasonImagePullFailed: a node can't get an image.
	ReasonImagePullFailed = "ImagePullFailed"
	// ReasonCrashing: a container ends again and again.
	ReasonCrashing = "Crashing"
	// ReasonUnschedulable: no node takes a pod.
	ReasonUnschedulable = "Unschedulable"
	// ReasonGatewayAddressPending: nobody knows yet where other members reach the gateway.
	ReasonGatewayAddressPending = "GatewayAddressPending"
	// ReasonGatewayAddressConflict: another member of the federation is reached where the gateway is.
	ReasonGatewayAddressConflict = "GatewayAddressConflict"
	// ReasonGatewayUnreached: other members' gateways check this one's in vain.
	ReasonGatewayUnreached = "GatewayUnreached"

	// Reasons of EndpointsSynced.

	// ReasonSynced: the hub and the member hold the same.
	ReasonSynced = "Synced"
	// ReasonDisconnected: the member's control plane has no stream to the hub.
	ReasonDisconnected = "Disconnected"
	// ReasonSyncing: the stream is up, and the two don't hold the same yet.
	ReasonSyncing = "Syncing"
	// ReasonExportsRefused: the federation's rules refuse some of what the member exports.
	ReasonExportsRefused = "ExportsRefused"

	// Reasons of MembersReady and of Ready.

	// ReasonReady: everything is.
	ReasonReady = "Ready"
	// ReasonMembersReady: all members are.
	ReasonMembersReady = "MembersReady"
	// ReasonMembersNotReady: some are not.
	ReasonMembersNotReady = "MembersNotReady"
	// ReasonNoMembers: the selector selects none.
	ReasonNoMembers = "NoMembers"
	// ReasonSelectorInvalid: the selector can't be read.
	ReasonSelectorInvalid = "SelectorInvalid"
)

// Reasons of events that are not reasons of conditions too.
const (
	// EventLeftBehind: a member went, and something stays in its cluster.
	EventLeftBehind = "LeftBehind"
	// EventEnrolled: a member traded its token for a CA certificate.
	EventEnrolled = "Enrolled"
	// EventRenewed: a member got a new CA certificate for its old one.
	EventRenewed = "Renewed"
	// EventEnrolmentRefused: somebody tried to enrol as a member and may not.
	EventEnrolmentRefused = "EnrolmentRefused"
	// EventInstalled: objects in the member's cluster were changed.
	EventInstalled = "Installed"
	// EventUninstalled: objects in the member's cluster were deleted.
	EventUninstalled = "Uninstalled"
	// EventRootCreated: a federation's root was made.
	EventRootCreated = "RootCreated"
	// EventRetained: a member went, and what was installed stays because its deletionPolicy says so.
	EventRetained = "Retained"
)
