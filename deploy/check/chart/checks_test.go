package chart

import (
	"fmt"
	"strings"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	psaapi "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// faults lists what is wrong with objects that are to be applied together.
func faults(all objects) (out faultList) {
	checkNames(&out, all)
	checkSelectors(&out, all)
	checkReferences(&out, all)
	checkPods(&out, all)
	checkHooks(&out, all)
	checkScaling(&out, all)
	return out
}

type faultList []string

func (f *faultList) add(o object, format string, args ...any) {
	*f = append(*f, nameOf(o)+": "+fmt.Sprintf(format, args...))
}

func checkNames(f *faultList, all objects) {
	known := map[string]bool{}
	for _, o := range all {
		key := kindOf(o) + "/" + o.GetNamespace() + "/" + o.GetName()
		if known[key] {
			f.add(o, "is there twice")
		}
		known[key] = true
		problems := validation.IsDNS1123Label(o.GetName())
		switch o.(type) {
		case *corev1.Service:
			problems = validation.IsDNS1035Label(o.GetName())
		case *nackStream, *nackConsumer, *corev1.ConfigMap:
			problems = validation.IsDNS1123Subdomain(o.GetName())
		}
		for _, p := range problems {
			f.add(o, "name: %s", p)
		}
		checkLabels(f, o, o.GetLabels())
	}
	for _, p := range pods(all) {
		checkLabels(f, p.owner, p.labels)
	}
}

func checkLabels(f *faultList, o object, all map[string]string) {
	for key, value := range all {
		for _, p := range append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...) {
			f.add(o, "label %s=%s: %s", key, value, p)
		}
	}
}

// checkSelectors: everything that selects finds the pods, or the service, it is for, and none else.
func checkSelectors(f *faultList, all objects) {
	for _, o := range all {
		switch o := o.(type) {
		case *appsv1.Deployment:
			expectPods(f, all, o, o.Spec.Selector, o.Labels[componentLabel])
			for _, spread := range o.Spec.Template.Spec.TopologySpreadConstraints {
				if s, err := metav1.LabelSelectorAsSelector(spread.LabelSelector); err != nil || !s.Matches(labels.Set(o.Spec.Template.Labels)) {
					f.add(o, "topologySpreadConstraints: does not count its own pods (%v)", err)
				}
			}
		case *policyv1.PodDisruptionBudget:
			expectPods(f, all, o, o.Spec.Selector, "worker")
		case *networkingv1.NetworkPolicy:
			components := "worker doctor"
			if o.Labels[componentLabel] == "setup" {
				components = "setup"
			}
			for _, p := range expectPods(f, all, o, &o.Spec.PodSelector, components) {
				checkPolicyPorts(f, o, p)
			}
		case *corev1.Service:
			for _, p := range expectPods(f, all, o, &metav1.LabelSelector{MatchLabels: o.Spec.Selector}, o.Labels[componentLabel]) {
				for _, port := range o.Spec.Ports {
					if !p.portNamed(port.TargetPort.String()) {
						f.add(o, "port %s: %s has no such port", port.TargetPort.String(), nameOf(p.owner))
					}
				}
			}
		case *monitoringv1.ServiceMonitor:
			checkMonitor(f, all, o)
		}
	}
}

// expectPods checks that a selector finds pods of exactly these components.
func expectPods(f *faultList, all objects, o object, selector *metav1.LabelSelector, components string) []pod {
	found, err := selected(all, selector)
	if err != nil || len(found) == 0 {
		f.add(o, "selects no pod (%v)", err)
	}
	for _, p := range found {
		if !contains(strings.Fields(components), p.labels[componentLabel]) {
			f.add(o, "also selects the pods of %s", nameOf(p.owner))
		}
	}
	return found
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

func checkPolicyPorts(f *faultList, o *networkingv1.NetworkPolicy, p pod) {
	if p.labels[componentLabel] != "worker" {
		return
	}
	for _, rule := range o.Spec.Ingress {
		for _, port := range rule.Ports {
			if !p.portNamed(port.Port.String()) {
				f.add(o, "lets port %s in, which no worker has", port.Port)
			}
		}
	}
}

func checkMonitor(f *faultList, all objects, o *monitoringv1.ServiceMonitor) {
	selector, err := metav1.LabelSelectorAsSelector(&o.Spec.Selector)
	count := 0
	for _, service := range of[*corev1.Service](all) {
		if err != nil || !selector.Matches(labels.Set(service.Labels)) {
			continue
		}
		count++
		for _, endpoint := range o.Spec.Endpoints {
			if service.Spec.Ports[0].Name != endpoint.Port {
				f.add(o, "port %s: %s has no such port", endpoint.Port, nameOf(service))
			}
		}
	}
	if count != 1 {
		f.add(o, "selects %d services (%v)", count, err)
	}
}

// checkReferences: what is named is there, or is said to be made by somebody else.
func checkReferences(f *faultList, all objects) {
	known := map[string]bool{}
	for _, o := range all {
		known[nameOf(o)] = true
	}
	for _, p := range pods(all) {
		refer := func(kind, name string) {
			if !known[kind+" "+name] && !given(name) {
				f.add(p.owner, "there is no %s %q", kind, name)
			}
		}
		refer("ServiceAccount", p.spec.ServiceAccountName)
		mounted := map[string]bool{}
		for _, c := range p.spec.Containers {
			for _, mount := range c.VolumeMounts {
				mounted[mount.Name] = true
				if _, err := p.volume(mount.Name); err != nil {
					f.add(p.owner, "%v", err)
				}
				if !mount.ReadOnly {
					f.add(p.owner, "volume %s can be written to", mount.Name)
				}
			}
			for _, from := range c.EnvFrom {
				if from.ConfigMapRef != nil {
					refer("ConfigMap", from.ConfigMapRef.Name)
				}
			}
		}
		for _, v := range p.spec.Volumes {
			if !mounted[v.Name] {
				f.add(p.owner, "volume %s is not mounted", v.Name)
			}
			if v.Secret != nil {
				refer("Secret", v.Secret.SecretName)
			}
			if v.ConfigMap != nil {
				refer("ConfigMap", v.ConfigMap.Name)
			}
		}
	}
}

// checkPods: restricted by the standard's own evaluator, no secret in the environment, memory asked for is memory allowed.
func checkPods(f *faultList, all objects) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		*f = append(*f, err.Error())
		return
	}
	restricted := psaapi.LevelVersion{Level: psaapi.LevelRestricted, Version: psaapi.LatestVersion()}
	for _, p := range pods(all) {
		result := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &p.meta, &p.spec))
		if !result.Allowed {
			f.add(p.owner, "pod security: %s", result.ForbiddenDetail())
		}
		if p.spec.AutomountServiceAccountToken == nil || *p.spec.AutomountServiceAccountToken {
			f.add(p.owner, "holds a token of Kubernetes")
		}
		if p.spec.EnableServiceLinks == nil || *p.spec.EnableServiceLinks {
			f.add(p.owner, "enableServiceLinks: services named rescreen… would look like settings")
		}
		if fs := p.spec.SecurityContext; fs == nil || fs.FSGroup == nil {
			f.add(p.owner, "fsGroup: the program could not read its secrets")
		}
		for _, c := range p.spec.Containers {
			checkContainer(f, p.owner, c)
		}
	}
}

func checkContainer(f *faultList, o object, c corev1.Container) {
	names := map[string]bool{}
	for _, e := range c.Env {
		if names[e.Name] {
			f.add(o, "%s is in the environment twice", e.Name)
		}
		names[e.Name] = true
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			f.add(o, "%s: a secret in the environment", e.Name)
		}
	}
	for _, from := range c.EnvFrom {
		if from.SecretRef != nil {
			f.add(o, "secrets in the environment")
		}
	}
	if s := c.SecurityContext; s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
		f.add(o, "its root can be written to")
	}
	if asked, allowed := c.Resources.Requests.Memory(), c.Resources.Limits.Memory(); asked.IsZero() || asked.Cmp(*allowed) != 0 {
		f.add(o, "asks for %s of memory and may take %s", asked, allowed)
	}
	for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		if probe != nil && !(pod{spec: corev1.PodSpec{Containers: []corev1.Container{c}}}).portNamed(probe.HTTPGet.Port.String()) {
			f.add(o, "probe of port %s, which it does not have", probe.HTTPGet.Port.String())
		}
	}
}

// checkHooks: a hook may run before everything that is no hook is there.
func checkHooks(f *faultList, all objects) {
	later := map[string]bool{}
	for _, o := range all {
		if !strings.HasPrefix(o.GetAnnotations()["helm.sh/hook"], "pre-") {
			later[nameOf(o)] = true
		}
	}
	for _, p := range pods(all) {
		if later[nameOf(p.owner)] {
			continue
		}
		if later["ServiceAccount "+p.spec.ServiceAccountName] {
			f.add(p.owner, "runs before its ServiceAccount is there")
		}
		for _, v := range p.spec.Volumes {
			if v.ConfigMap != nil && later["ConfigMap "+v.ConfigMap.Name] {
				f.add(p.owner, "runs before its ConfigMap is there")
			}
		}
	}
}

// checkScaling asks KEDA's own checks, and that nobody else sets the number of replicas.
func checkScaling(f *faultList, all objects) {
	for _, o := range of[*kedav1alpha1.ScaledObject](all) {
		for _, err := range []error{
			kedav1alpha1.CheckReplicaCountBoundsAreValid(o), kedav1alpha1.CheckFallbackValid(o), kedav1alpha1.ValidateTriggers(o.Spec.Triggers),
		} {
			if err != nil {
				f.add(o, "%v", err)
			}
		}
		target := 0
		for _, d := range of[*appsv1.Deployment](all) {
			if d.Name != o.Spec.ScaleTargetRef.Name {
				continue
			}
			target++
			if d.Spec.Replicas != nil {
				f.add(d, "replicas: %d, which KEDA decides", *d.Spec.Replicas)
			}
		}
		if target != 1 {
			f.add(o, "scales %d deployments", target)
		}
	}
}
