{{/* Settings that have a value of their own, by their names in the configuration file. */}}
{{- define "rescreen.ownSettings" -}}
server: nats.url
creds: nats.credentials
nkey: nats.nkey
user: nats.user
password: nats.user
password-file: nats.user
inbox-prefix: nats.inboxPrefix
tlsca: nats.tls
tlscert: nats.tls
tlskey: nats.tls
api-env: api.env
api-issuer: api.issuer
api-base-url: api.baseUrl
api-token-url: api.tokenUrl
api-client-id: api.clientId
api-client-secret: api.existingSecret
api-client-secret-file: api.existingSecret
api-scopes: api.scopes
api-auth: api.auth
api-profile: api.profile
create-rate: limits.createRate
create-burst: limits.createBurst
request-rate: limits.requestRate
request-burst: limits.requestBurst
max-open: limits.maxOpen
slots: lifecycle.slots
post-timeout: lifecycle.postTimeout
get-timeout: lifecycle.getTimeout
poll-first: lifecycle.pollFirst
poll-factor: lifecycle.pollFactor
poll-max: lifecycle.pollMax
session-deadline: lifecycle.sessionDeadline
result-lifetime: lifecycle.resultLifetime
on-unknown: lifecycle.onUnknown
log-level: log.level
log-format: log.format
http-addr: http.port
{{- end -}}

{{/* The simulator stands in for the API when it is there. */}}
{{- define "rescreen.apiEnv" -}}
{{- ternary "local" .Values.api.env .Values.simulator.enabled -}}
{{- end -}}

{{- define "rescreen.apiIssuer" -}}
{{- if .Values.api.issuer -}}
{{- .Values.api.issuer -}}
{{- else if .Values.simulator.enabled -}}
{{- printf "http://%s:8117/auth/realms/local" (include "rescreen.suffixed" (list . "simulator")) -}}
{{- end -}}
{{- end -}}

{{- define "rescreen.hasConfig" -}}
{{- if or .Values.config .Values.api.profile -}}true{{- end -}}
{{- end -}}

{{/* All variables of a worker but those of the Go runtime. */}}
{{- define "rescreen.worker.env" -}}
{{- include "rescreen.nats.env" (list . .Values.nats) }}
{{- if .Values.config }}
{{- include "rescreen.env" (list "RESCREEN_CONFIG" "/etc/rescreen/config/rescreen.yaml") }}
{{- end }}
{{- include "rescreen.env" (list "RESCREEN_API_ENV" (include "rescreen.apiEnv" .)) }}
{{- include "rescreen.env" (list "RESCREEN_API_ISSUER" (include "rescreen.apiIssuer" .)) }}
{{- with .Values.api }}
{{- include "rescreen.env" (list "RESCREEN_API_BASE_URL" .baseUrl) }}
{{- include "rescreen.env" (list "RESCREEN_API_TOKEN_URL" .tokenUrl) }}
{{- include "rescreen.env" (list "RESCREEN_API_CLIENT_ID" .clientId) }}
{{- if .existingSecret.name }}
{{- include "rescreen.env" (list "RESCREEN_API_CLIENT_SECRET_FILE" (printf "/etc/rescreen/api/%s" .existingSecret.key)) }}
{{- end }}
{{- include "rescreen.env" (list "RESCREEN_API_SCOPES" (join " " .scopes)) }}
{{- include "rescreen.env" (list "RESCREEN_API_AUTH" .auth) }}
{{- if .profile }}
{{- include "rescreen.env" (list "RESCREEN_API_PROFILE" "/etc/rescreen/config/profile.yaml") }}
{{- end }}
{{- end }}
{{- with .Values.limits }}
{{- include "rescreen.env" (list "RESCREEN_CREATE_RATE" .createRate) }}
{{- include "rescreen.env" (list "RESCREEN_CREATE_BURST" .createBurst) }}
{{- include "rescreen.env" (list "RESCREEN_REQUEST_RATE" .requestRate) }}
{{- include "rescreen.env" (list "RESCREEN_REQUEST_BURST" .requestBurst) }}
{{- include "rescreen.env" (list "RESCREEN_MAX_OPEN" .maxOpen) }}
{{- end }}
{{- with .Values.lifecycle }}
{{- include "rescreen.env" (list "RESCREEN_SLOTS" .slots) }}
{{- include "rescreen.env" (list "RESCREEN_POST_TIMEOUT" .postTimeout) }}
{{- include "rescreen.env" (list "RESCREEN_GET_TIMEOUT" .getTimeout) }}
{{- include "rescreen.env" (list "RESCREEN_POLL_FIRST" .pollFirst) }}
{{- include "rescreen.env" (list "RESCREEN_POLL_FACTOR" .pollFactor) }}
{{- include "rescreen.env" (list "RESCREEN_POLL_MAX" .pollMax) }}
{{- include "rescreen.env" (list "RESCREEN_SESSION_DEADLINE" .sessionDeadline) }}
{{- include "rescreen.env" (list "RESCREEN_RESULT_LIFETIME" .resultLifetime) }}
{{- include "rescreen.env" (list "RESCREEN_ON_UNKNOWN" .onUnknown) }}
{{- end }}
{{- include "rescreen.env" (list "RESCREEN_HTTP_ADDR" (printf "0.0.0.0:%s" (include "rescreen.text" .Values.http.port))) }}
{{- include "rescreen.env" (list "RESCREEN_LOG_LEVEL" .Values.log.level) }}
{{- include "rescreen.env" (list "RESCREEN_LOG_FORMAT" .Values.log.format) }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "rescreen.worker.mounts" -}}
{{- include "rescreen.nats.mounts" (list . .Values.nats) }}
{{- if .Values.api.existingSecret.name }}
- {name: api, mountPath: /etc/rescreen/api, readOnly: true}
{{- end }}
{{- if include "rescreen.hasConfig" . }}
- {name: config, mountPath: /etc/rescreen/config, readOnly: true}
{{- end }}
{{- with .Values.additionalVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "rescreen.worker.volumes" -}}
{{- include "rescreen.nats.volumes" (list . .Values.nats) }}
{{- with .Values.api.existingSecret }}{{- if .name }}
{{- include "rescreen.secretVolume" (list "api" .name (list .key)) }}
{{- end }}{{- end }}
{{- if include "rescreen.hasConfig" . }}
- name: config
  configMap:
    name: {{ include "rescreen.suffixed" (list . "config") }}
{{- end }}
{{- with .Values.additionalVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
