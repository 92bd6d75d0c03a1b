{{/* SPDX-License-Identifier: Apache-2.0 */}}
{{- define "smc-steer.labels" -}}
app.kubernetes.io/name: smc-steer
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "smc-steer.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* What a probe in the node's network namespace asks, whatever the agent listens on. */}}
{{- define "smc-steer.probe-host" -}}
{{- $address := .Values.metrics.address | trimPrefix "[" | trimSuffix "]" -}}
{{- if eq $address "0.0.0.0" }}127.0.0.1{{ else if eq $address "::" }}::1{{ else }}{{ $address }}{{ end -}}
{{- end }}

{{- define "smc-steer.agent-yaml" -}}
{{ toYaml .Values.agent }}
cri: {{ if .Values.criSocket }}{{ printf "unix://%s" .Values.criSocket | quote }}{{ else }}"off"{{ end }}
metrics:
  listen: {{ printf "%s:%v" .Values.metrics.address .Values.metrics.port | quote }}
  status_page: {{ ternary "on" "off" .Values.metrics.statusPage | quote }}
{{- end }}
