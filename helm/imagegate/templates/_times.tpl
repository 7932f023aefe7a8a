{{/*
deadline + 120 s in which a late answer is still awaited + 15 s: every call has its end by then. After that Kubernetes
may kill, 5 s later.
*/}}
{{- define "imagegate.hardCap" -}}
{{- add (int .Values.requestDeadlineSeconds) 135 -}}
{{- end -}}

{{- define "imagegate.grace" -}}
{{- if kindIs "invalid" .Values.drain.graceSeconds -}}
{{- include "imagegate.hardCap" . -}}
{{- else -}}
{{- int .Values.drain.graceSeconds -}}
{{- end -}}
{{- end -}}

{{- define "imagegate.terminationGrace" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- add (include "imagegate.grace" . | int) 5 -}}
{{- else -}}
{{- int .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}
