// SPDX-License-Identifier: Apache-2.0

package component

import configv1alpha1 "k8s.io/component-base/config/v1alpha1"

func clientConnection(kubeconfig string) configv1alpha1.ClientConnectionConfiguration {
	return configv1alpha1.ClientConnectionConfiguration{Kubeconfig: kubeconfig}
}
