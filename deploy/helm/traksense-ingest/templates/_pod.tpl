{{/* What the pods of all workloads have in common. */}}
{{- define "ingest.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false # a Service named mqtt would set MQTT_PORT and the like
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- end }}

{{/* Where the pods run: (dict "root" $ "component" "receiver"). */}}
{{- define "ingest.placement" -}}
{{- $values := get .root.Values .component }}
topologySpreadConstraints:
{{- if $values.topologySpreadConstraints }}
{{- range $values.topologySpreadConstraints }}
  - {{ toYaml . | nindent 4 | trim }}
    {{- if not .labelSelector }}
    labelSelector:
      matchLabels:
        {{- include "ingest.selector" $ | nindent 8 }}
    {{- end }}
{{- end }}
{{- else }}
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "ingest.selector" $ | nindent 8 }}
{{- end }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Annotations of pods: what replaces them when it changes. */}}
{{- define "ingest.checksums" -}}
{{- $values := get .root.Values .component }}
{{- with .root }}
{{- if not .Values.config.existingConfigMap }}
checksum/config: {{ include (print .Template.BasePath "/config.yaml") . | sha256sum }}
{{- end }}
{{- if and .Values.mappings.files .Values.mappings.restart }}
checksum/mappings: {{ toJson .Values.mappings.files | sha256sum }}
{{- end }}
{{- end }}
{{- if and (eq .component "receiver") $values.leave.enabled }}
checksum/scripts: {{ .root.Files.Get "files/leave.py" | sha256sum }}
{{- end }}
{{- with $values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The environment of a service, from the ConfigMap and its secret. */}}
{{- define "ingest.environment" -}}
- configMapRef: {name: {{ include "ingest.config" .root }}}
- secretRef: {name: {{ include "ingest.secret" . }}}
{{- end }}

{{/* Mappings and certificates, in each container that reads them. */}}
{{- define "ingest.mounts" -}}
{{- if include "ingest.mappings" . }}
- {name: mappings, mountPath: /mappings, readOnly: true}
{{- end }}
{{- if .Values.certificates.secret }}
- {name: certificates, mountPath: /certs, readOnly: true}
{{- end }}
{{- end }}

{{- define "ingest.volumes" -}}
{{- with include "ingest.mappings" . }}
- name: mappings
  configMap: {name: {{ . }}, optional: true}
{{- end }}
{{- with .Values.certificates.secret }}
- name: certificates
  secret: {secretName: {{ . }}, defaultMode: 0444}
{{- end }}
{{- end }}

{{- define "ingest.probes" -}}
readinessProbe: # in an outage it is not ready, and nothing restarts it
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 5
  timeoutSeconds: 3
livenessProbe: # the event loop has been stuck for 30 s
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 3
{{- end }}

{{/* The headless Service and the PodDisruptionBudget of a component: (dict "root" $ "component" "receiver" "port" 9101). */}}
{{- define "ingest.around" -}}
{{- $values := get .root.Values .component -}}
# By its name Prometheus and the toolbox find the pods, including those that are not ready.
apiVersion: v1
kind: Service
metadata:
  name: {{ include "ingest.name" .root }}-{{ .component }}
  labels:
    {{- include "ingest.labels" . | nindent 4 }}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector:
    {{- include "ingest.selector" . | nindent 4 }}
  ports:
    - {name: metrics, port: {{ .port }}, targetPort: metrics}
{{- if $values.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "ingest.name" .root }}-{{ .component }}
  labels:
    {{- include "ingest.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ $values.podDisruptionBudget.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow # in an outage none is ready, and it must still be possible to drain a node
  selector:
    matchLabels:
      {{- include "ingest.selector" . | nindent 6 }}
{{- end }}
{{- end }}
