{{/* Whether values under nats or setup.nats name a user. */}}
{{- define "rescreen.nats.named" -}}
{{- if or .credentials.secret.name .nkey.secret.name .user.name -}}true{{- end -}}
{{- end -}}

{{/* Who the setup job is: its own user, or the workers'. As YAML. */}}
{{- define "rescreen.setup.who" -}}
{{- if include "rescreen.nats.named" .Values.setup.nats -}}
{{- toYaml .Values.setup.nats -}}
{{- else -}}
{{- $who := deepCopy (omit .Values.nats "url" "tls") -}}
{{- with .Values.setup.nats.inboxPrefix }}{{- $_ := set $who "inboxPrefix" . -}}{{- end -}}
{{- toYaml $who -}}
{{- end -}}
{{- end -}}

{{/* Variables of the connection to NATS: (list $ who). Secrets are files. */}}
{{- define "rescreen.nats.env" -}}
{{- $root := index . 0 -}}
{{- $who := index . 1 -}}
{{- include "rescreen.env" (list "NATS_URL" $root.Values.nats.url) }}
{{- with $who.credentials.secret }}{{- if .name }}
{{- include "rescreen.env" (list "NATS_CREDS" (printf "/etc/rescreen/nats/%s" .key)) }}
{{- end }}{{- end }}
{{- with $who.nkey.secret }}{{- if .name }}
{{- include "rescreen.env" (list "NATS_NKEY" (printf "/etc/rescreen/nats/%s" .key)) }}
{{- end }}{{- end }}
{{- with $who.user }}{{- if .name }}
{{- include "rescreen.env" (list "NATS_USER" .name) }}
{{- include "rescreen.env" (list "NATS_PASSWORD_FILE" (printf "/etc/rescreen/nats/%s" .passwordSecret.key)) }}
{{- end }}{{- end }}
{{- include "rescreen.env" (list "NATS_INBOX_PREFIX" $who.inboxPrefix) }}
{{- with $root.Values.nats.tls }}{{- if .enabled }}
{{- with .ca }}{{- include "rescreen.env" (list "NATS_CA" (printf "/etc/rescreen/tls/%s" .)) }}{{- end }}
{{- with .cert }}{{- include "rescreen.env" (list "NATS_CERT" (printf "/etc/rescreen/tls/%s" .)) }}{{- end }}
{{- with .key }}{{- include "rescreen.env" (list "NATS_KEY" (printf "/etc/rescreen/tls/%s" .)) }}{{- end }}
{{- end }}{{- end }}
{{- end -}}

{{- define "rescreen.nats.mounts" -}}
{{- $root := index . 0 -}}
{{- if include "rescreen.nats.named" (index . 1) }}
- {name: nats, mountPath: /etc/rescreen/nats, readOnly: true}
{{- end }}
{{- if $root.Values.nats.tls.enabled }}
- {name: nats-tls, mountPath: /etc/rescreen/tls, readOnly: true}
{{- end }}
{{- end -}}

{{/* Only the keys that are used, readable by the group of the pod alone (0440). */}}
{{- define "rescreen.nats.volumes" -}}
{{- $root := index . 0 -}}
{{- $who := index . 1 -}}
{{- range list $who.credentials.secret $who.nkey.secret (ternary $who.user.passwordSecret (dict "name" "") (ne $who.user.name "")) }}
{{- if .name }}
{{- include "rescreen.secretVolume" (list "nats" .name (list .key)) }}
{{- end }}
{{- end }}
{{- with $root.Values.nats.tls }}{{- if .enabled }}
{{- include "rescreen.secretVolume" (list "nats-tls" .secretName (compact (list .ca .cert .key))) }}
{{- end }}{{- end }}
{{- end -}}

{{/* A volume with some keys of a secret: (list volume secret keys). */}}
{{- define "rescreen.secretVolume" }}
- name: {{ index . 0 }}
  secret:
    secretName: {{ index . 1 }}
    defaultMode: 288
    items:
      {{- range index . 2 }}
      - {key: {{ . | quote }}, path: {{ . | quote }}}
      {{- end }}
{{- end -}}
