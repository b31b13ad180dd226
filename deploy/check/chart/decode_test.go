package chart

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	k8sjson "k8s.io/apimachinery/pkg/runtime/serializer/json"
)

// object is anything that Kubernetes keeps.
type object interface {
	runtime.Object
	metav1.Object
}

type objects []object

// kindOf is apiVersion and kind.
func kindOf(o object) string {
	gvk := o.GetObjectKind().GroupVersionKind()
	return gvk.GroupVersion().String() + " " + gvk.Kind
}

func nameOf(o object) string { return o.GetObjectKind().GroupVersionKind().Kind + " " + o.GetName() }

// of lists the objects of one type.
func of[T object](all objects) []T {
	var out []T
	for _, o := range all {
		if typed, ok := o.(T); ok {
			out = append(out, typed)
		}
	}
	return out
}

// only is the one object of its type, and of that component if there are more.
func only[T object](t *testing.T, all objects, component string) T {
	t.Helper()
	var found []T
	for _, o := range of[T](all) {
		if component == "" || o.GetLabels()[componentLabel] == component {
			found = append(found, o)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d objects of type %T, component %q", len(found), *new(T), component)
	}
	return found[0]
}

const componentLabel = "app.kubernetes.io/component"

// decoder knows the kinds the chart may hold, and refuses fields they do not have.
var decoder = func() *k8sjson.Serializer {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, batchv1.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme,
		monitoringv1.AddToScheme, kedav1alpha1.AddToScheme, addNACK,
	} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	return k8sjson.NewSerializerWithOptions(k8sjson.DefaultMetaFactory, scheme, scheme, k8sjson.SerializerOptions{Yaml: true, Strict: true})
}()

var documentEnd = regexp.MustCompile(`(?m)^---\s*$`)

// decode reads YAML documents; one of nothing but comments is none.
func decode(text string) (objects, error) {
	var out objects
	var errs []error
	for _, document := range documentEnd.Split(text, -1) {
		if strings.TrimSpace(regexp.MustCompile(`(?m)^\s*#.*$`).ReplaceAllString(document, "")) == "" {
			continue
		}
		decoded, _, err := decoder.Decode([]byte(document), nil, nil)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		o, ok := decoded.(object)
		if !ok {
			errs = append(errs, fmt.Errorf("%T is no object", decoded))
			continue
		}
		out = append(out, o)
	}
	return out, errors.Join(errs...)
}

func TestDecodeIsStrict(t *testing.T) {
	for name, text := range map[string]string{
		"unknown field":  "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\nautomount: false",
		"deep":           "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {template: {spec: {containers: [{name: a, imagePull: b}]}}}",
		"unknown kind":   "apiVersion: v1\nkind: Workers\nmetadata: {name: a}",
		"old version":    "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: a}",
		"wrong type":     "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: http}]}",
		"twice":          "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: b}\ndata: {c: d}",
		"KEDA":           "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: a}\nspec: {minReplicas: 1}",
		"ServiceMonitor": "apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata: {name: a}\nspec: {endpoints: [{ports: http}]}",
		"NACK":           "apiVersion: jetstream.nats.io/v1beta2\nkind: Stream\nmetadata: {name: a}\nspec: {allowMsgSchedule: true}",
	} {
		if got, err := decode(text); err == nil {
			t.Errorf("%s: taken as %v", name, got)
		}
	}
}
