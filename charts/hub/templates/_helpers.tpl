{{- define "hub.selector" -}}
app: isthmesh-hub
{{- end }}

{{- define "hub.labels" -}}
{{ include "hub.selector" . }}
app.kubernetes.io/name: hub
app.kubernetes.io/part-of: isthmesh
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* What the operator does with the objects of a namespace that it watches. */}}
{{- define "hub.rules" -}}
- apiGroups: [federation.isthmesh.dev]
  resources: [meshfederations, meshmembers]
  verbs: [get, list, watch, update, patch]
- apiGroups: [federation.isthmesh.dev]
  resources: [meshfederations/status, meshmembers/status, meshfederations/finalizers, meshmembers/finalizers]
  verbs: [get, update, patch]
# Kubeconfigs of members and roots of federations, which are beside the objects
# that name them.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
