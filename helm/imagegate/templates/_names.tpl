{{- define "imagegate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "imagegate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "imagegate.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "imagegate.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Whose they are. `component` tells the gateway's pods, which the Service finds, from jobs and tests. */}}
{{- define "imagegate.ownLabels" -}}
app.kubernetes.io/name: {{ include "imagegate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "imagegate.selectorLabels" -}}
{{ include "imagegate.ownLabels" . }}
app.kubernetes.io/component: gateway
{{- end -}}

{{- define "imagegate.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "imagegate.labels" -}}
{{ include "imagegate.selectorLabels" . }}
{{ include "imagegate.commonLabels" . }}
{{- end -}}

{{- define "imagegate.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default .Chart.AppVersion $image.tag }}
{{- end -}}
{{- end -}}

{{- define "imagegate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "imagegate.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "imagegate.configMapName" -}}
{{- default (printf "%s-config" (include "imagegate.fullname" .)) .Values.existingConfigMap -}}
{{- end -}}

{{/* The first host that clients know, or nothing. */}}
{{- define "imagegate.host" -}}
{{- if and .Values.ingress.enabled .Values.ingress.hosts -}}
{{- first .Values.ingress.hosts -}}
{{- else if and .Values.httpRoute.enabled .Values.httpRoute.hostnames -}}
{{- first .Values.httpRoute.hostnames -}}
{{- end -}}
{{- end -}}
