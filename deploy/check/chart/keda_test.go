package chart

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/tidwall/gjson"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
)

// TestTriggerOfCounts asks a real monitoring endpoint what the trigger asks, reads the answer as KEDA does, and finds
// the messages that are in the two streams, whatever server is asked. In an account that is not theirs it finds no number.
func TestTriggerOfCounts(t *testing.T) {
	servers := startNATS(t, 3)
	js := connect(t, servers[0])
	setUp(t, js)
	publish(t, js, "screening.jobs.default", 7)
	publish(t, js, "screening.due.default.%d.1", 4) // kept one for each subject
	for _, s := range servers {
		over := fmt.Sprintf("keda: {trigger: nats, nats: {account: SCREENING, monitoringEndpoints: ['http://%s/']}}", s.MonitorAddr())
		o := scaled(t, over)
		want := map[string]float64{"10000": 7, "50000": 4} // by target
		for _, trigger := range o.Spec.Triggers {
			target := trigger.Metadata["targetValue"]
			await(t, func() error {
				got, err := readValue(t, trigger.Metadata["url"], trigger.Metadata["valueLocation"])
				if err == nil && got != want[target] {
					err = fmt.Errorf("%s: %v messages, want %v", s.Name(), got, want[target])
				}
				return err
			})
			delete(want, target)
		}
		if len(want) != 0 {
			t.Errorf("%s: no trigger for %v", s.Name(), want)
		}
		for _, account := range []string{"$G", "NOBODY"} {
			for _, trigger := range scaled(t, strings.ReplaceAll(over, "SCREENING", account)).Spec.Triggers {
				if got, err := readValue(t, trigger.Metadata["url"], trigger.Metadata["valueLocation"]); err == nil {
					t.Errorf("%s: %v messages in account %s", s.Name(), got, account)
				}
			}
		}
	}
}

func publish(t *testing.T, js jetstream.JetStream, subject string, count int) {
	t.Helper()
	for i := range count {
		to := subject
		if strings.Contains(subject, "%d") {
			to = fmt.Sprintf(subject, i)
		}
		if _, err := js.Publish(t.Context(), to, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
}

// readValue is what KEDA's metrics-api scaler does with JSON.
func readValue(t *testing.T, url, location string) (float64, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	value := gjson.GetBytes(body, location)
	if value.Type != gjson.Number {
		return 0, fmt.Errorf("%s of %s is %s, no number", location, url, value.Type)
	}
	return value.Num, nil
}

func scaled(t *testing.T, over string) *kedav1alpha1.ScaledObject {
	t.Helper()
	return only[*kedav1alpha1.ScaledObject](t, render(t, "r", with(caseValues(t, "full"), parseValues(t, over))), "")
}

// TestTriggers: each choice is one that KEDA reads as meant.
func TestTriggers(t *testing.T) {
	for _, test := range []struct{ over, kind, metadata string }{
		{"keda: {trigger: prometheus}", "prometheus", `{"ignoreNullValues":"false",` +
			`"query":"max(rescreen_desired_workers{namespace=\"screening\",job=\"screening\"})",` +
			`"serverAddress":"https://prometheus.monitoring.svc:9090","threshold":"1","unsafeSsl":"false"}`},
		{"serviceMonitor: {enabled: false}", "prometheus", `{"ignoreNullValues":"false","query":"max(rescreen_desired_workers)",` +
			`"serverAddress":"https://prometheus.monitoring.svc:9090","threshold":"1","unsafeSsl":"false"}`},
		{"keda: {trigger: metrics-api}", "metrics-api", `{"format":"prometheus","targetValue":"1",` +
			`"url":"http://screening.screening.svc:9118/metrics","valueLocation":"rescreen_desired_workers"}`},
	} {
		triggers := scaled(t, test.over).Spec.Triggers
		if len(triggers) != 1 {
			t.Fatalf("%s: %d triggers", test.over, len(triggers))
		}
		got, err := json.Marshal(triggers[0].Metadata)
		if err != nil || triggers[0].Type != test.kind || string(got) != test.metadata || triggers[0].MetricType != autoscalingv2.AverageValueMetricType {
			t.Errorf("%s: %s of %s\n got %s\nwant %s", test.over, triggers[0].Type, triggers[0].MetricType, got, test.metadata)
		}
	}
}

// TestScalesDownSlowly: at most one worker a minute leaves, after five minutes of less to do; never the last one.
func TestScalesDownSlowly(t *testing.T) {
	o := scaled(t, "keda: {minReplicaCount: 1}")
	down := o.Spec.Advanced.HorizontalPodAutoscalerConfig.Behavior.ScaleDown
	if *down.StabilizationWindowSeconds != 300 || len(down.Policies) != 1 || down.Policies[0] != (autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PodsScalingPolicy, Value: 1, PeriodSeconds: 60}) {
		t.Errorf("scale down %+v", down)
	}
	if *o.Spec.MinReplicaCount != 1 || o.Spec.Fallback.FailureThreshold != 3 || o.Spec.Fallback.Behavior != kedav1alpha1.FallbackBehaviorCurrentReplicasIfHigher {
		t.Errorf("%d replicas at least, fallback %+v", *o.Spec.MinReplicaCount, o.Spec.Fallback)
	}
	if name := o.Spec.Advanced.HorizontalPodAutoscalerConfig.Name; len(name) > 63 || name == "" {
		t.Errorf("autoscaler named %q", name)
	}
}
