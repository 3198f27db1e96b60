{{/* The beginning of all names. 40 characters, because a StatefulSet's pods have 63 with their revision. */}}
{{- define "ingest.name" -}}
{{ .Values.fullnameOverride | default .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* The labels that selectors use: (dict "root" $ "component" "receiver"). */}}
{{- define "ingest.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ include "ingest.name" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* The labels of objects; those of pods have no version, so that a new chart alone replaces none. */}}
{{- define "ingest.labels" -}}
{{ include "ingest.selector" . }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
{{- end }}

{{- define "ingest.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "ingest.config" -}}
{{ .Values.config.existingConfigMap | default (printf "%s-ingest" (include "ingest.name" .)) }}
{{- end }}

{{- define "ingest.scripts" -}}
{{ include "ingest.name" . }}-scripts
{{- end }}

{{/* The name of a secret: (dict "root" $ "component" "receiver"). */}}
{{- define "ingest.secret" -}}
{{ get .root.Values.secrets .component | default (printf "%s-%s" (include "ingest.name" .root) .component) }}
{{- end }}

{{/* The name of the ConfigMap with mappings, empty without one. */}}
{{- define "ingest.mappings" -}}
{{- if .Values.mappings.existingConfigMap -}}
{{ .Values.mappings.existingConfigMap }}
{{- else if .Values.mappings.files -}}
{{ include "ingest.name" . }}-mappings
{{- end }}
{{- end }}

{{/* A variable of `config`, or a default: (dict "root" $ "name" "INGEST_SHARDS" "default" 1). */}}
{{- define "ingest.number" -}}
{{ get .root.Values.config.variables .name | default .default | int }}
{{- end }}

{{/* A number of YAML is a float here; without int64 a million would be 1e+06. */}}
{{- define "ingest.text" -}}
{{- if kindIs "float64" . }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{/* The sum of KEDA's triggers for the streams: stream0 + stream1. */}}
{{- define "ingest.streams" -}}
{{- $names := list }}
{{- range $shard := until (include "ingest.number" (dict "root" $ "name" "INGEST_SHARDS" "default" 1) | int) }}
{{- $names = append $names (printf "stream%d" $shard) }}
{{- end }}
{{- join " + " $names }}
{{- end }}
