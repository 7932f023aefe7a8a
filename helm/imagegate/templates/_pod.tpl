{{/* What the gateway's container and the migration's have in common: the image, the rights, the files. */}}
{{- define "imagegate.containerBase" -}}
image: {{ include "imagegate.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.containerSecurityContext | nindent 2 }}
{{- with .Values.secretEnv }}
envFrom:
  {{- range . }}
  - secretRef:
      name: {{ .name | quote }}
  {{- end }}
{{- end }}
{{- with .Values.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - {name: config, mountPath: /etc/imagegate, readOnly: true}
  - {name: data, mountPath: /var/lib/imagegate}
  - {name: tmp, mountPath: /tmp}
  {{- if include "imagegate.secretSources" . }}
  - {name: secrets, mountPath: {{ include "imagegate.secretsFolder" . }}, readOnly: true}
  {{- end }}
  {{- if .Values.media.existingClaim }}
  - {name: media, mountPath: /var/lib/imagegate-media}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "imagegate.migrationContainer" -}}
args: [migrate, --config, /etc/imagegate/imagegate.yaml, --data, /var/lib/imagegate]
resources:
  requests: {cpu: 100m, memory: 128Mi}
  limits: {memory: 512Mi}
{{ include "imagegate.containerBase" . }}
{{- end -}}

{{/* Existing Secrets as files, each under one name. */}}
{{- define "imagegate.secretSources" -}}
{{- $v := .Values -}}
{{- range $file, $of := dict "database-url" $v.database "redis-url" $v.redis "server-secret" $v.serverSecret }}
{{- if and $of.existingSecret.name (not $of.file) }}
- secret:
    name: {{ $of.existingSecret.name | quote }}
    items: [{key: {{ $of.existingSecret.key | quote }}, path: {{ $file }}}]
{{- end }}
{{- end }}
{{- with $v.metrics.tokenSecret }}
{{- if .name }}
- secret:
    name: {{ .name | quote }}
    items: [{key: {{ .key | quote }}, path: metrics-token}]
{{- end }}
{{- end }}
{{- range $v.secretFiles }}
- secret:
    name: {{ .name | quote }}
    {{- with .items }}
    items:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}
{{- end -}}

{{/* Takes a dict: root, configMap, durable (whether the data folder is the volume that outlives the pod). */}}
{{- define "imagegate.volumes" -}}
{{- $v := .root.Values -}}
- name: config
  configMap:
    name: {{ .configMap }}
- name: data
  {{- if and .durable (eq $v.database.kind "sqlite") $v.persistence.enabled }}
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-data" (include "imagegate.fullname" .root)) $v.persistence.existingClaim }}
  {{- else }}
  emptyDir:
    sizeLimit: {{ ternary $v.persistence.size "1Gi" (eq $v.database.kind "sqlite") }}
  {{- end }}
- name: tmp
  emptyDir:
    sizeLimit: {{ $v.tmp.sizeLimit }}
{{- with include "imagegate.secretSources" .root }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- . | trim | nindent 6 }}
{{- end }}
{{- with $v.media.existingClaim }}
- name: media
  persistentVolumeClaim:
    claimName: {{ . | quote }}
{{- end }}
{{- with $v.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
