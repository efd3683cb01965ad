{{- define "backflow.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* At most 50 characters, so that every suffix of this chart still fits into a DNS label. */}}
{{- define "backflow.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- $name := include "backflow.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "backflow.selectorLabels" -}}
app.kubernetes.io/name: {{ include "backflow.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end }}

{{- define "backflow.labels" -}}
{{- $own := dict
      "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
      "app.kubernetes.io/version" (.Chart.AppVersion | toString)
      "app.kubernetes.io/part-of" "backflow"
      "app.kubernetes.io/managed-by" .Release.Service -}}
{{- /* The selector's labels win over commonLabels: a Deployment that does not select its pods is refused. */ -}}
{{- toYaml (mergeOverwrite $own (deepCopy .Values.commonLabels) (include "backflow.selectorLabels" . | fromYaml)) }}
{{- end }}

{{- define "backflow.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "backflow.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "backflow.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}

{{/* What the controller may do in the namespaces it serves: the whole list. No Secrets, no ConfigMaps, no pod logs. */}}
{{- define "backflow.rules" -}}
- apiGroups: [backflow.dev]
  resources: [sources, models, destinations, mappings, syncs]
  verbs: [get, list, watch]
- apiGroups: [backflow.dev]
  resources: [syncs]
  verbs: [create, delete]
- apiGroups: [backflow.dev]
  resources: [sources/status, models/status, destinations/status, mappings/status, syncs/status]
  verbs: [patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
