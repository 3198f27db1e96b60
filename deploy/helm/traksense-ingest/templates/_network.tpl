{{/* The NetworkPolicy of a component, and what its pods connect to: (dict "root" $ "component" "writer" "targets" (list "redis" "database")). */}}
{{- define "ingest.networkPolicy" -}}
{{- $policy := .root.Values.networkPolicy -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "ingest.name" .root }}-{{ .component }}
  labels:
    {{- include "ingest.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "ingest.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  {{- if has .component (list "receiver" "writer") }}
  ingress:
    - ports: [{port: {{ ternary 9101 9100 (eq .component "receiver") }}, protocol: TCP}]
      from:
        - podSelector:
            matchLabels:
              {{- include "ingest.selector" (dict "root" .root "component" "toolbox") | nindent 14 }}
        {{- with $policy.metricsFrom }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  {{- else if eq .component "console" }}
  ingress:
    - ports: [{port: 9180, protocol: TCP}]
      {{- with $policy.consoleFrom }}
      from:
        {{- toYaml . | nindent 8 }}
      {{- end }}
  {{- else }}
  ingress: []
  {{- end }}
  egress:
    - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}] # DNS
    {{- range $name := .targets }}
    {{- $target := get $policy $name }}
    - ports: # {{ $name }}
        {{- range $target.ports }}
        - {port: {{ . }}, protocol: TCP}
        {{- end }}
      {{- with $target.to }}
      to:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- end }}
    {{- if eq .component "toolbox" }}
    - ports: [{port: 9100, protocol: TCP}, {port: 9101, protocol: TCP}] # for validate
      to:
        - podSelector:
            matchLabels:
              app.kubernetes.io/name: {{ .root.Chart.Name }}
              app.kubernetes.io/instance: {{ include "ingest.name" .root }}
    {{- end }}
{{- end }}
