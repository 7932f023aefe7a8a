{{/*
What would lose money, keys or requests is refused with the reason. values.schema.json refuses most of it first; this
also holds where the schema is switched off, and compares numbers, which a schema cannot.
*/}}
{{- define "imagegate.guards" -}}
{{- $v := .Values -}}
{{- $several := or (gt (int $v.replicas) 1) (ne $v.autoscaling.kind "none") -}}
{{- $postgres := eq $v.database.kind "postgres" -}}
{{- if and $several (not $postgres) -}}
{{- fail "SQLite has one writer: more than one replica (replicas, autoscaling) needs database.kind: postgres" -}}
{{- end -}}
{{- if and $postgres (not (or $v.database.existingSecret.name $v.database.file)) -}}
{{- fail "database.kind postgres needs the address: database.existingSecret.name or database.file" -}}
{{- end -}}
{{- if and $postgres (not (or $v.serverSecret.existingSecret.name $v.serverSecret.file)) -}}
{{- fail "with PostgreSQL the server's secret must outlive the pod and be the same in all: serverSecret.existingSecret.name or serverSecret.file" -}}
{{- end -}}
{{- if and $postgres (not (or $v.redis.existingSecret.name $v.redis.file)) -}}
{{- fail "pods that count apart exceed every limit together, and at each rollout even one replica is two: with PostgreSQL, redis.existingSecret.name or redis.file" -}}
{{- end -}}
{{- if and $postgres (not (or $v.media.bucket $v.media.existingClaim)) -}}
{{- fail "a link must work at every replica and outlive the pod: with PostgreSQL, media.bucket (s3://…) or media.existingClaim" -}}
{{- end -}}
{{- if and (not $postgres) (not $v.persistence.enabled) (not $v.persistence.acceptLoss) -}}
{{- fail "SQLite without a volume loses keys and books with the pod: persistence.enabled, or persistence.acceptLoss: true for a trial" -}}
{{- end -}}
{{- $cap := include "imagegate.hardCap" . | int -}}
{{- $grace := include "imagegate.grace" . | int -}}
{{- $kill := include "imagegate.terminationGrace" . | int -}}
{{- if and (lt $grace $cap) (not $v.drain.acceptUnknown) -}}
{{- fail (printf "drain.graceSeconds %d is shorter than the longest call (requestDeadlineSeconds %d + 120 + 15 = %d): paid calls would be cut and booked as unknown. Leave it out, or say drain.acceptUnknown: true" $grace (int $v.requestDeadlineSeconds) $cap) -}}
{{- end -}}
{{- if le $grace (add (int $v.drain.delaySeconds) 10 | int) -}}
{{- fail (printf "drain.graceSeconds %d must be longer than drain.delaySeconds %d by more than 10, which the end itself takes" $grace (int $v.drain.delaySeconds)) -}}
{{- end -}}
{{- if lt $kill (add $grace 5 | int) -}}
{{- fail (printf "terminationGracePeriodSeconds %d would kill the gateway before its own drain of %d s has ended: at least %d, or leave it out" $kill $grace (add $grace 5)) -}}
{{- end -}}
{{- $edge := add (int $v.requestDeadlineSeconds) 120 | int -}}
{{- if and (or $v.ingress.enabled $v.httpRoute.enabled) (lt (int $v.edge.timeoutSeconds) $edge) -}}
{{- fail (printf "edge.timeoutSeconds %d ends requests that the gateway still serves: at least requestDeadlineSeconds %d + 120 for the upload = %d" (int $v.edge.timeoutSeconds) (int $v.requestDeadlineSeconds) $edge) -}}
{{- end -}}
{{- if and (ne $v.autoscaling.kind "none") (lt (int $v.autoscaling.maxReplicas) (int $v.autoscaling.minReplicas)) -}}
{{- fail "autoscaling.maxReplicas is less than minReplicas" -}}
{{- end -}}
{{- range $object := $v.extraObjects -}}
{{- if eq (toString $object.kind) "Secret" -}}
{{- fail "extraObjects holds a Secret: values end up in Helm's own records; make it outside and name it" -}}
{{- end -}}
{{- end -}}
{{- if and $v.existingConfigMap (or $v.config $v.configFiles) -}}
{{- fail "existingConfigMap replaces config and configFiles: give one or the other" -}}
{{- end -}}
{{- end -}}
