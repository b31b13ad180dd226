package chart

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// cases are the values that everything here is tried with: files of ci/, and what goes over them.
var cases = map[string]struct{ file, over string }{
	"default":     {},
	"minimal":     {file: "minimal-values.yaml"},
	"trial":       {file: "trial-values.yaml"},
	"full":        {file: "full-values.yaml"},
	"nack":        {file: "full-values.yaml", over: "setup: {enabled: false}\nnack: {enabled: true, account: main, servers: [nats://n:4222]}"},
	"keda nats":   {file: "full-values.yaml", over: "keda: {trigger: nats, nats: {account: SCREENING, monitoringEndpoints: ['http://nats-0.nats:8222/', 'http://nats-1.nats:8222']}}"},
	"keda worker": {file: "full-values.yaml", over: "keda: {trigger: metrics-api}"},
	"simulator":   {file: "trial-values.yaml", over: "networkPolicy: {enabled: true}\nserviceMonitor: {enabled: true}"},
	"user":        {file: "minimal-values.yaml", over: "nats: {credentials: {secret: {name: '', key: ''}}, user: {name: worker, passwordSecret: {name: rescreen-nats, key: password}}}"},
	"bare": {file: "minimal-values.yaml", over: `
setup: {enabled: false}
doctor: {enabled: false}
serviceAccount: {create: false}
podDisruptionBudget: {enabled: false}
resources: {requests: {memory: 1G}, limits: {memory: 1G}}
extraEnv: [{name: GOMEMLIMIT, value: 800MiB}]`},
	"part of another": {file: "minimal-values.yaml", over: "enabled: true\nglobal: {colour: red}"},
}

func caseValues(t *testing.T, name string) values {
	t.Helper()
	return with(valuesFile(t, cases[name].file), parseValues(t, cases[name].over))
}

func TestLint(t *testing.T) {
	for name := range cases {
		for _, m := range lint.All(chartDir, caseValues(t, name), namespace, true).Messages {
			if m.Severity > support.InfoSev {
				t.Errorf("%s: %v", name, m)
			}
		}
	}
}

func TestChart(t *testing.T) {
	for name := range cases {
		t.Run(name, func(t *testing.T) {
			for _, fault := range faults(render(t, "r", caseValues(t, name))) {
				t.Error(fault)
			}
		})
	}
}

// TestChartHolds: what each of the values is there for is made. A template whose condition never holds would pass all
// other tests.
func TestChartHolds(t *testing.T) {
	for name, want := range map[string]string{
		"default": "Deployment Job Pod PodDisruptionBudget Service ServiceAccount",
		"bare":    "Deployment Service",
		"trial":   "Deployment*2 Job Pod PodDisruptionBudget Service*2 ServiceAccount",
		"full": "ConfigMap*4 Deployment Job NetworkPolicy*2 Pod PodDisruptionBudget PrometheusRule ScaledObject Service " +
			"ServiceAccount ServiceMonitor",
		"nack": "ConfigMap*4 Consumer*2 Deployment NetworkPolicy Pod PodDisruptionBudget PrometheusRule ScaledObject Service " +
			"ServiceAccount ServiceMonitor Stream*8",
	} {
		count := map[string]int{}
		for _, o := range render(t, "r", caseValues(t, name)) {
			count[strings.Fields(nameOf(o))[0]]++
		}
		var got []string
		for _, kind := range slices.Sorted(maps.Keys(count)) {
			got = append(got, kind+strings.TrimSuffix("*"+string(rune('0'+count[kind])), "*1"))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s:\n got %s\nwant %s", name, strings.Join(got, " "), want)
		}
	}
}

// TestReadme: the values in the chart's README are good ones.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(chartDir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)( *)```yaml\n(.*?)\n *```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 2 {
		t.Fatalf("%d blocks of values", len(blocks))
	}
	for _, block := range blocks {
		v := parseValues(t, strings.ReplaceAll("\n"+block[2], "\n"+block[1], "\n"))
		if _, whole := v["nats"]; !whole {
			v = with(valuesFile(t, "minimal-values.yaml"), v)
		}
		for _, fault := range faults(render(t, "rescreen", v)) {
			t.Errorf("%s\n%s", block[2], fault)
		}
	}
}

// TestTwoReleases: two in one namespace touch nothing of each other's, also with the longest names.
func TestTwoReleases(t *testing.T) {
	long := strings.Repeat("a", 52)
	for _, releases := range [][2]string{{"a", "b"}, {"rescreen", "rescreen-2"}, {long + "b", long + "c"}} {
		v := caseValues(t, "nack")
		v = with(v, parseValues(t, "fullnameOverride: ''\nserviceAccount: {name: ''}\nsimulator: {enabled: true}\napi: {env: ''}\nextraObjects: []"))
		first, second := render(t, releases[0], v), render(t, releases[1], v)
		for _, fault := range faults(slices.Concat(first, second)) {
			t.Errorf("%s and %s: %s", releases[0], releases[1], fault)
		}
	}
}

// TestReplicas: the chart says how many only while nobody else does.
func TestReplicas(t *testing.T) {
	if d := only[*appsv1.Deployment](t, render(t, "r", caseValues(t, "minimal")), "worker"); d.Spec.Replicas == nil || *d.Spec.Replicas != 2 {
		t.Errorf("without KEDA: replicas %v", d.Spec.Replicas)
	}
	if d := only[*appsv1.Deployment](t, render(t, "r", caseValues(t, "full")), "worker"); d.Spec.Replicas != nil {
		t.Errorf("with KEDA: replicas %d", *d.Spec.Replicas)
	}
}

// TestWhoMayScrape: monitoring, and KEDA when it asks the workers themselves.
func TestWhoMayScrape(t *testing.T) {
	for name, want := range map[string]string{"full": "monitoring", "keda worker": "monitoring keda"} {
		var got []string
		for _, peer := range only[*networkingv1.NetworkPolicy](t, render(t, "r", caseValues(t, name)), "worker").Spec.Ingress[0].From {
			got = append(got, peer.NamespaceSelector.MatchLabels[corev1.LabelMetadataName])
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestWhatNATSMayBeAsked: workers and doctor reach the monitoring that they are told of, the setup job does not.
func TestWhatNATSMayBeAsked(t *testing.T) {
	for over, want := range map[string]string{
		"": "4222",
		"config: {nats-monitor: 'http://nats:8222'}":                            "4222 8222",
		"config: {nats-monitor: 'http://a:8222, http://b:8222,https://[::1]/'}": "4222 8222 443",
		"config: {nats-monitor: ['http://a:8222', 'http://b']}":                 "4222 8222 80",
		"config: {nats-monitor: 'http://a:4222'}":                               "4222",
	} {
		all := render(t, "r", with(caseValues(t, "full"), parseValues(t, over)))
		for component, want := range map[string]string{"worker": want, "setup": "4222"} {
			var got []string
			for _, port := range only[*networkingv1.NetworkPolicy](t, all, component).Spec.Egress[1].Ports {
				got = append(got, port.Port.String())
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%s: %s may ask %s, want %s", over, component, got, want)
			}
		}
	}
}

// TestMemoryLimit: the collector's goal is 85 % of the limit, whatever way it is written.
func TestMemoryLimit(t *testing.T) {
	for limit, want := range map[string]string{
		"256Mi": "228170137", "1.5Gi": "1369020825", "1G": "850000000", "300000000": "255000000", "512M": "435200000",
	} {
		v := with(caseValues(t, "minimal"), parseValues(t, "resources: {limits: {memory: '"+limit+"'}}"))
		env, err := environment(nil, only[*appsv1.Deployment](t, render(t, "r", v), "worker").Spec.Template.Spec.Containers[0])
		if err != nil || env["GOMEMLIMIT"] != want {
			t.Errorf("%s: GOMEMLIMIT %s, want %s (%v)", limit, env["GOMEMLIMIT"], want, err)
		}
	}
}

// TestConfigRolls: a change of the configuration replaces the pods; the same configuration does not.
func TestConfigRolls(t *testing.T) {
	sum := func(over string) string {
		v := with(caseValues(t, "minimal"), parseValues(t, over))
		return only[*appsv1.Deployment](t, render(t, "r", v), "worker").Spec.Template.Annotations["checksum/config"]
	}
	a, again, b, profile := sum("config: {slots-x: 1}"), sum("config: {slots-x: 1}"), sum("config: {slots-x: 2}"), sum("api: {profile: {countries: [se]}}")
	if a != again || a == b || profile == sum("") {
		t.Errorf("checksums %s %s %s %s", a, again, b, profile)
	}
}

// TestSetupHook: setup runs first, as its own user, and stays until the next one.
func TestSetupHook(t *testing.T) {
	job := only[*batchv1.Job](t, render(t, "r", caseValues(t, "full")), "setup")
	if got := job.Annotations["helm.sh/hook"]; got != "pre-install,pre-upgrade" {
		t.Errorf("hook %q", got)
	}
	if got := job.Annotations["helm.sh/hook-delete-policy"]; got != "before-hook-creation" {
		t.Errorf("delete policy %q", got)
	}
	env, err := environment(nil, job.Spec.Template.Spec.Containers[0])
	if err != nil || env["NATS_NKEY"] != "/etc/rescreen/nats/setup.nk" || env["NATS_CREDS"] != "" || env["NATS_INBOX_PREFIX"] != "_INBOX_rescreen.setup" {
		t.Errorf("environment %v, %v", env, err)
	}
	if rule := job.Spec.PodFailurePolicy.Rules[0]; *rule.OnExitCodes.ContainerName != job.Spec.Template.Spec.Containers[0].Name ||
		job.Spec.Template.Spec.RestartPolicy != corev1.RestartPolicyNever {
		t.Errorf("failure policy %v", rule)
	}
}
