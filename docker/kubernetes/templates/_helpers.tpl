{{- define "kancel.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end }}
{{- end }}

{{- define "kancel.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "kancel.labels" -}}
{{ include "kancel.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "kancel.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "kancel.name" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{/* The configuration with what the chart decides. */}}
{{- define "kancel.config" -}}
{{- $worker := deepCopy (.Values.config.worker | default dict) }}
{{- if .Values.staticMembership }}{{ $_ := set $worker "instance_id" "${POD_NAME}" }}{{ end }}
{{- $config := deepCopy .Values.config }}
{{- $_ := set $config "worker" $worker }}
{{- $_ := set $config "admin" (mergeOverwrite (deepCopy (.Values.config.admin | default dict)) (dict "listen" "0.0.0.0:9464")) }}
{{- toYaml $config }}
{{- end }}
