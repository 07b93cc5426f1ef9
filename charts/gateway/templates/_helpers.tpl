{{- define "gateway.name" -}}
{{- .Values.name | default .Release.Name -}}
{{- end }}

{{- define "gateway.account" -}}
{{- .Values.serviceAccount.name | default (include "gateway.name" .) -}}
{{- end }}

{{- define "gateway.selector" -}}
app: {{ include "gateway.name" . }}
istio: {{ include "gateway.name" . | trimPrefix "istio-" }}
{{- end }}

{{- /* Labels of pods: nothing that changes with the chart's version, so that an upgrade rolls out only what it changes. */}}
{{- define "gateway.podLabels" -}}
{{ include "gateway.selector" . }}
istio.io/rev: {{ .Values.revision | default "default" | quote }}
{{- with .Values.networkGateway }}
topology.istio.io/network: {{ . | quote }}
istio.io/gateway-kind: east-west
{{- end }}
app.kubernetes.io/name: {{ include "gateway.name" . }}
app.kubernetes.io/part-of: isthmesh
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "gateway.labels" -}}
{{ include "gateway.podLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* The ports of the Service: those of the gateway's kind, after the status
port. A gateway between networks has its one port only: where load balancers
share an address it would lose it to another gateway with a status port. */}}
{{- define "gateway.ports" -}}
{{- if not .Values.networkGateway }}
- {name: status-port, port: 15021, targetPort: 15021, protocol: TCP}
{{- end }}
{{- if .Values.service.ports }}
{{- range .Values.service.ports }}
- {{ toYaml (merge (deepCopy .) (dict "protocol" "TCP" "targetPort" .port)) | nindent 2 | trim }}
{{- end }}
{{- else if .Values.networkGateway }}
- {name: tls, port: {{ .Values.service.networkGatewayPort }}, targetPort: 15443, protocol: TCP}
{{- else }}
- {name: http2, port: 80, targetPort: 80, protocol: TCP}
- {name: https, port: 443, targetPort: 443, protocol: TCP}
{{- end }}
{{- end }}
