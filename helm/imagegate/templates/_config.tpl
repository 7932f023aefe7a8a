{{/* Where the mounted secrets are, by what they are for. */}}
{{- define "imagegate.secretsFolder" -}}/run/secrets/imagegate{{- end -}}

{{- define "imagegate.databaseAddress" -}}
file:{{ default (printf "%s/database-url" (include "imagegate.secretsFolder" .)) .Values.database.file }}
{{- end -}}

{{/* imagegate.yaml: the values under `config`, and what only the chart can know. */}}
{{- define "imagegate.config" -}}
{{- $v := .Values -}}
{{- $secrets := include "imagegate.secretsFolder" . -}}
{{- $config := deepCopy $v.config -}}
{{- if not (or (hasKey $config "providers") $v.configFiles) -}}
{{- $_ := set $config "providers" (dict "sandbox" (dict "type" "sandbox")) -}}
{{- end -}}
{{- $server := default dict $config.server -}}
{{- $drain := dict "delay" (printf "%ds" (int $v.drain.delaySeconds)) "grace" (printf "%ss" (include "imagegate.grace" .)) -}}
{{- $_ := set $server "drain" $drain -}}
{{- if or $v.serverSecret.existingSecret.name $v.serverSecret.file -}}
{{- $_ := set $server "secret" (printf "file:%s" (default (printf "%s/server-secret" $secrets) $v.serverSecret.file)) -}}
{{- end -}}
{{- if $v.metrics.tokenSecret.name -}}
{{- $_ := set $server "metrics_token" (printf "file:%s/metrics-token" $secrets) -}}
{{- end -}}
{{- $host := include "imagegate.host" . -}}
{{- if and $host (not (hasKey $server "public_url")) -}}
{{- $_ := set $server "public_url" (printf "https://%s" $host) -}}
{{- end -}}
{{- $_ := set $config "server" $server -}}
{{- $_ := set $config "routing" (merge (dict "deadline" (printf "%ds" (int $v.requestDeadlineSeconds))) (default dict $config.routing)) -}}
{{- $storage := dict -}}
{{- if eq $v.database.kind "postgres" -}}
{{- $_ := set $storage "database" (include "imagegate.databaseAddress" .) -}}
{{- end -}}
{{- if or $v.redis.existingSecret.name $v.redis.file -}}
{{- $_ := set $storage "quota" (printf "file:%s" (default (printf "%s/redis-url" $secrets) $v.redis.file)) -}}
{{- end -}}
{{- if $v.media.bucket -}}
{{- $_ := set $storage "media" $v.media.bucket -}}
{{- else if $v.media.existingClaim -}}
{{- $_ := set $storage "media" "file:/var/lib/imagegate-media" -}}
{{- end -}}
{{- if $storage -}}
{{- $_ := set $config "storage" $storage -}}
{{- end -}}
{{- if $v.configFiles -}}
{{- $_ := set $config "include" (keys $v.configFiles | sortAlpha) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* The data of the ConfigMap. */}}
{{- define "imagegate.configData" -}}
imagegate.yaml: |
  {{- include "imagegate.config" . | nindent 2 }}
{{- range $name := keys .Values.configFiles | sortAlpha }}
{{ $name }}: |
  {{- index $.Values.configFiles $name | nindent 2 }}
{{- end }}
{{- end -}}
