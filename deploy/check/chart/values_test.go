package chart

import (
	"strings"
	"testing"
)

// TestBadValues: what cannot be meant is refused, in words that name the value.
func TestBadValues(t *testing.T) {
	for _, test := range []struct{ over, want string }{
		// By the schema.
		{"replicaCounts: 3", "replicaCounts"},
		{"nats: {uri: nats://n:4222}", "uri"},
		{"nats: {url: ''}", "/nats/url"},
		{"nats: {url: null}", "url"},
		{"nats: {url: 4222}", "/nats/url"},
		{"nats: {credentials: {secret: {nam: a}}}", "nam"},
		{"api: {env: production}", "/api/env"},
		{"api: {issuer: id.example}", "/api/issuer"},
		{"api: {clientSecret: hunter2}", "clientSecret"},
		{"replicaCount: two", "/replicaCount"},
		{"limits: {createRate: 5}", "/limits/createRate"},
		{"limits: {createRate: 5/second}", "/limits/createRate"},
		{"lifecycle: {slots: 2}", "/lifecycle/slots"},
		{"lifecycle: {pollMax: 60}", "/lifecycle/pollMax"},
		{"lifecycle: {onUnknown: retry}", "/lifecycle/onUnknown"},
		{"http: {port: 70000}", "/http/port"},
		{"image: {digest: latest}", "/image/digest"},
		{"keda: {minReplicaCount: 0}", "/keda/minReplicaCount"},
		{"keda: {trigger: cpu}", "/keda/trigger"},
		{"terminationGracePeriodSeconds: 30", "/terminationGracePeriodSeconds"},
		{"setup: {replicas: 2}", "/setup/replicas"},
		{"setup: {hook: post-install}", "hook"},
		{"nack: {replicas: 2}", "/nack/replicas"},
		{"config: {Slots: 3}", "Slots"},
		{"config: {slots: {a: b}}", "/config/slots"},
		// By the templates.
		{"nats: {url: 'nats://me:secret@n:4222'}", "nats.url: must not hold credentials"},
		{"nats: {tls: {enabled: true}}", "nats.tls.secretName: is required"},
		{"nats: {tls: {enabled: true, secretName: a, cert: tls.crt}}", "nats.tls: cert and key belong together"},
		{"nats: {nkey: {secret: {name: a, key: b}}}", "nats: credentials, nkey and user all say who we are"},
		{"setup: {nats: {credentials: {secret: {name: a}}}}", "setup.nats.credentials.secret: name and key belong together"},
		{"nats: {credentials: {secret: {name: '', key: ''}}, user: {name: a}}", "nats.user: name and passwordSecret belong together"},
		{"api: {clientId: ''}", "api.clientId: is required with api.env: current"},
		{"api: {existingSecret: {name: ''}}", "api.existingSecret.name: is required with api.env: current"},
		{"simulator: {enabled: true}", "simulator.enabled: stands in for the API, and api.env says current"},
		{"api: {env: local}", "api.env: local is the simulator"},
		{"config: {slots: 3}", "config.slots: has a value of its own, lifecycle.slots"},
		{"extraEnv: [{name: NATS_URL, value: a}]", "extraEnv: NATS_URL is there already"},
		{"extraEnv: [{name: A, value: a}, {name: A, value: b}]", "extraEnv: A is there already"},
		{"nack: {enabled: true}", "nack.enabled: makes the streams that setup.enabled makes"},
		{"keda: {enabled: true}", "keda.prometheus.serverAddress: is required"},
		{"keda: {enabled: true, trigger: nats}", "keda.nats.monitoringEndpoints: is required"},
		{"keda: {enabled: true, trigger: nats, nats: {monitoringEndpoints: ['http://n:8222']}}", "keda.nats.account: is required"},
		{"keda: {enabled: true, trigger: metrics-api, minReplicaCount: 11}", "keda.minReplicaCount: is above keda.maxReplicaCount"},
		{"resources: {limits: {memory: lots}}", "resources.limits.memory: \"lots\" is no quantity"},
	} {
		_, err := template(t, "r", with(valuesFile(t, "minimal-values.yaml"), parseValues(t, test.over)))
		switch {
		case err == nil:
			t.Errorf("%s: taken", test.over)
		case !strings.Contains(err.Error(), test.want):
			t.Errorf("%s: says\n%v\nwant %s", test.over, err, test.want)
		}
	}
}

// TestNotes: what is told after an installation fits it.
func TestNotes(t *testing.T) {
	for name, want := range map[string]string{
		"default": "NOT RUNNING YET", "minimal": "rollout status deployment/r-rescreen", "trial": "Its results are invented", "bare": "run `rescreen setup`",
	} {
		files, err := template(t, "r", caseValues(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := files["rescreen/templates/NOTES.txt"]; !strings.Contains(got, want) {
			t.Errorf("%s: notes\n%s\nwant %s", name, got, want)
		}
	}
}
