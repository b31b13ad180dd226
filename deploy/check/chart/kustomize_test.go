package chart

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

func TestKustomize(t *testing.T) {
	for _, dir := range []string{"base", "overlays/example"} {
		t.Run(dir, func(t *testing.T) {
			all := kustomize(t, dir)
			for _, fault := range faults(all) {
				t.Error(fault)
			}
			for _, p := range pods(all) {
				for _, c := range p.spec.Containers {
					tryContainer(t, all, p, c)
				}
			}
		})
	}
}

// TestKustomizeExample: it speaks TLS, in a namespace of its own, and its job stays as it is once it is done.
func TestKustomizeExample(t *testing.T) {
	all := kustomize(t, "overlays/example")
	for _, o := range all {
		if o.GetNamespace() != namespace {
			t.Errorf("%s: in namespace %q", nameOf(o), o.GetNamespace())
		}
	}
	for _, p := range pods(all) {
		c := p.spec.Containers[0]
		env, err := environment(all, c)
		if err != nil {
			t.Fatal(err)
		}
		found, err := files(all, p, c)
		if err != nil {
			t.Fatal(err)
		}
		if ca := env["NATS_CA"]; found[ca] == "" || !strings.HasPrefix(env["NATS_URL"], "tls://") {
			t.Errorf("%s: calls %s, with the authority %q", nameOf(p.owner), env["NATS_URL"], ca)
		}
	}
	if ttl := only[*batchv1.Job](t, all, "setup").Spec.TTLSecondsAfterFinished; ttl != nil {
		t.Errorf("the job goes away after %d s, and whoever reconciles runs it again", *ttl)
	}
}

// TestKustomizeIsTheChart: the base runs the very pods that the chart runs with its minimal values.
func TestKustomizeIsTheChart(t *testing.T) {
	base, chart := kustomize(t, "base"), render(t, "rescreen", caseValues(t, "minimal"))
	same(t, "worker",
		comparable(t, base, only[*appsv1.Deployment](t, base, "worker").Spec.Template.Spec),
		comparable(t, chart, only[*appsv1.Deployment](t, chart, "worker").Spec.Template.Spec))
	setup := only[*batchv1.Job](t, chart, "setup").Spec
	// The chart's job is the workers' user when it is given none, the base's has one of its own.
	setup.Template.Spec.Containers[0].Env[1].Value = "/etc/rescreen/nats/setup.creds"
	setup.Template.Spec.Volumes[0].Secret.Items = []corev1.KeyToPath{{Key: "setup.creds", Path: "setup.creds"}}
	same(t, "setup", comparable(t, base, only[*batchv1.Job](t, base, "setup").Spec.Template.Spec), comparable(t, chart, setup.Template.Spec))

	d, e := only[*appsv1.Deployment](t, base, "worker").Spec, only[*appsv1.Deployment](t, chart, "worker").Spec
	d.Template, e.Template, d.Selector, e.Selector = corev1.PodTemplateSpec{}, corev1.PodTemplateSpec{}, nil, nil
	same(t, "deployment", d, e)
	b, c := only[*policyv1.PodDisruptionBudget](t, base, "").Spec, only[*policyv1.PodDisruptionBudget](t, chart, "").Spec
	b.Selector, c.Selector = nil, nil
	same(t, "budget", b, c)
	s, u := only[*corev1.Service](t, base, "").Spec, only[*corev1.Service](t, chart, "").Spec
	s.Selector, u.Selector = nil, nil
	same(t, "service", s, u)
}

// comparable is a pod without what differs on purpose: names, image, labels, and where its environment comes from.
func comparable(t *testing.T, all objects, spec corev1.PodSpec) corev1.PodSpec {
	t.Helper()
	spec.ServiceAccountName = ""
	for i := range spec.TopologySpreadConstraints {
		spec.TopologySpreadConstraints[i].LabelSelector = nil
	}
	for i, c := range spec.Containers {
		env, err := environment(all, c)
		if err != nil {
			t.Fatal(err)
		}
		c.Image, c.EnvFrom, c.Env = "", nil, nil
		for _, name := range slices.Sorted(maps.Keys(env)) {
			c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: env[name]})
		}
		spec.Containers[i] = c
	}
	return spec
}

func same(t *testing.T, what string, base, chart any) {
	t.Helper()
	if reflect.DeepEqual(base, chart) {
		return
	}
	b, _ := yaml.Marshal(base)
	c, _ := yaml.Marshal(chart)
	t.Errorf("%s differs\nbase:\n%s\nchart:\n%s", what, b, c)
}
