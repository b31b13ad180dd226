{{/* What the schema cannot say, in words. Included by the Deployment, which is always there. */}}
{{- define "rescreen.validate" -}}
{{- with .Values.nats }}
{{- if contains "@" .url }}{{ fail "nats.url: must not hold credentials, give nats.credentials, nats.nkey or nats.user" }}{{ end }}
{{- if and .tls.enabled (not .tls.secretName) }}{{ fail "nats.tls.secretName: is required with nats.tls.enabled" }}{{ end }}
{{- if ne (empty .tls.cert) (empty .tls.key) }}{{ fail "nats.tls: cert and key belong together, give both or neither" }}{{ end }}
{{- if and .tls.enabled (not (or .tls.ca .tls.cert)) }}{{ fail "nats.tls: names no file of the secret, give ca or cert and key" }}{{ end }}
{{- end }}
{{- range $path, $who := dict "nats" .Values.nats "setup.nats" .Values.setup.nats }}
{{- if gt (len (compact (list $who.credentials.secret.name $who.nkey.secret.name $who.user.name))) 1 }}
{{- fail (printf "%s: credentials, nkey and user all say who we are, give one of them" $path) }}
{{- end }}
{{- range $field, $secret := dict "credentials.secret" $who.credentials.secret "nkey.secret" $who.nkey.secret "user.passwordSecret" $who.user.passwordSecret }}
{{- if ne (empty $secret.name) (empty $secret.key) }}{{ fail (printf "%s.%s: name and key belong together" $path $field) }}{{ end }}
{{- end }}
{{- if ne (empty $who.user.name) (empty $who.user.passwordSecret.name) }}
{{- fail (printf "%s.user: name and passwordSecret belong together" $path) }}
{{- end }}
{{- end }}
{{- with .Values.api }}
{{- if has .env (list "current" "prod") }}
{{- if not .clientId }}{{ fail (printf "api.clientId: is required with api.env: %s" .env) }}{{ end }}
{{- if not .existingSecret.name }}{{ fail (printf "api.existingSecret.name: is required with api.env: %s" .env) }}{{ end }}
{{- if $.Values.simulator.enabled }}{{ fail (printf "simulator.enabled: stands in for the API, and api.env says %s" .env) }}{{ end }}
{{- else if and (eq .env "local") (not (or $.Values.simulator.enabled .issuer)) }}
{{- fail "api.env: local is the simulator, set simulator.enabled or name another one with api.issuer" }}
{{- end }}
{{- end }}
{{- $own := include "rescreen.ownSettings" . | fromYaml }}
{{- range $key, $_ := .Values.config }}
{{- with get $own $key }}{{ fail (printf "config.%s: has a value of its own, %s" $key .) }}{{ end }}
{{- end }}
{{- $known := list }}
{{- range (include "rescreen.worker.env" . | fromYamlArray) }}
{{- if has .name $known }}{{ fail (printf "extraEnv: %s is there already, from a value of its own or twice" .name) }}{{ end }}
{{- $known = append $known .name }}
{{- end }}
{{- if and .Values.setup.enabled .Values.nack.enabled }}
{{- fail "nack.enabled: makes the streams that setup.enabled makes, set one of them to false" }}
{{- end }}
{{- with .Values.keda }}{{- if .enabled }}
{{- if gt (int .minReplicaCount) (int .maxReplicaCount) }}{{ fail "keda.minReplicaCount: is above keda.maxReplicaCount" }}{{ end }}
{{- if and (eq .trigger "prometheus") (not .prometheus.serverAddress) }}
{{- fail "keda.prometheus.serverAddress: is required with keda.trigger: prometheus" }}
{{- end }}
{{- if and (eq .trigger "nats") (not .nats.monitoringEndpoints) }}
{{- fail "keda.nats.monitoringEndpoints: is required with keda.trigger: nats" }}
{{- end }}
{{- if and (eq .trigger "nats") (not .nats.account) }}
{{- fail "keda.nats.account: is required with keda.trigger: nats, as nats-server would not say that it knows no such account" }}
{{- end }}
{{- end }}{{- end }}
{{- end -}}
