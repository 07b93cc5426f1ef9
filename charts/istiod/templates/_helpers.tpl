{{- define "istiod.suffix" -}}
{{- with .Values.revision }}-{{ . }}{{ end -}}
{{- end }}

{{- define "istiod.name" -}}
istiod{{ include "istiod.suffix" . }}
{{- end }}

{{- define "istiod.revision" -}}
{{- .Values.revision | default "default" -}}
{{- end }}

{{- /* Labels of pods: nothing that changes with the chart's version, so that an upgrade rolls out only what it changes. */}}
{{- define "istiod.podLabels" -}}
app: istiod
istio: pilot
istio.io/rev: {{ include "istiod.revision" . | quote }}
app.kubernetes.io/name: istiod
app.kubernetes.io/part-of: isthmesh
{{- end }}

{{- define "istiod.labels" -}}
{{ include "istiod.podLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "istiod.selector" -}}
app: istiod
istio.io/rev: {{ include "istiod.revision" . | quote }}
{{- end }}
