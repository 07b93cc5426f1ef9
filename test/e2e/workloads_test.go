// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import "strings"

const echoAccount = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: NAME, namespace: NAMESPACE}
---`

const echoDeployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: NAMESPACE}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      serviceAccountName: ACCOUNT
      containers:
        - name: NAME
          image: isthmesh/echo:dev
`

const echoServing = `          args: [serve, --http, ":8080"]
          readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1, timeoutSeconds: 10}
---
apiVersion: v1
kind: Service
metadata: {name: NAME, namespace: NAMESPACE}
spec:
  selector: {app: NAME}
  ports: [{name: http, port: 80, targetPort: 8080}]
`

// echoServer is a Deployment of the echo program and its Service at port 80, as
// YAML. It runs as the service account default, or as one of its own name.
func echoServer(namespace, name string, ownAccount bool) string {
	return echoObjects(echoDeployment+echoServing, namespace, name, ownAccount)
}

// echoClient is a Deployment of the echo program that waits to be told to call.
func echoClient(namespace, name string, ownAccount bool) string {
	return echoObjects(echoDeployment+"          args: [wait]\n", namespace, name, ownAccount)
}

func echoObjects(objects, namespace, name string, ownAccount bool) string {
	account := "default"
	if ownAccount {
		account, objects = name, echoAccount+objects
	}
	return strings.NewReplacer("NAMESPACE", namespace, "NAME", name, "ACCOUNT", account).Replace(objects)
}
