package chart

import (
	"fmt"
	"strings"

	"github.com/nats-io/nkeys"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// pod is what one of the objects runs.
type pod struct {
	owner  object
	labels map[string]string
	spec   corev1.PodSpec
	meta   metav1.ObjectMeta
}

func pods(all objects) (out []pod) {
	for _, o := range all {
		switch o := o.(type) {
		case *appsv1.Deployment:
			out = append(out, pod{o, o.Spec.Template.Labels, o.Spec.Template.Spec, o.Spec.Template.ObjectMeta})
		case *batchv1.Job:
			out = append(out, pod{o, o.Spec.Template.Labels, o.Spec.Template.Spec, o.Spec.Template.ObjectMeta})
		case *corev1.Pod:
			out = append(out, pod{o, o.Labels, o.Spec, o.ObjectMeta})
		}
	}
	return out
}

// selected lists the pods that a selector finds.
func selected(all objects, selector *metav1.LabelSelector) ([]pod, error) {
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return nil, err
	}
	var out []pod
	for _, p := range pods(all) {
		if s.Matches(labels.Set(p.labels)) {
			out = append(out, p)
		}
	}
	return out, nil
}

// portNamed reports whether a pod has a port of that name.
func (p pod) portNamed(name string) bool {
	for _, c := range p.spec.Containers {
		for _, port := range c.Ports {
			if port.Name == name {
				return true
			}
		}
	}
	return false
}

// environment is what a container finds in its environment; references to the pod's own fields stay empty.
func environment(all objects, c corev1.Container) (map[string]string, error) {
	env := map[string]string{}
	for _, from := range c.EnvFrom {
		if from.ConfigMapRef == nil {
			return nil, fmt.Errorf("container %s: environment from something else than a ConfigMap", c.Name)
		}
		data, err := configMap(all, from.ConfigMapRef.Name)
		if err != nil {
			return nil, err
		}
		for name, value := range data {
			env[from.Prefix+name] = value
		}
	}
	for _, e := range c.Env {
		env[e.Name] = e.Value
	}
	return env, nil
}

func configMap(all objects, name string) (map[string]string, error) {
	for _, o := range of[*corev1.ConfigMap](all) {
		if o.Name == name {
			return o.Data, nil
		}
	}
	return nil, fmt.Errorf("no ConfigMap %s", name)
}

// files are the files a container finds, by path.
func files(all objects, p pod, c corev1.Container) (map[string]string, error) {
	out := map[string]string{}
	for _, mount := range c.VolumeMounts {
		volume, err := p.volume(mount.Name)
		if err != nil {
			return nil, err
		}
		switch {
		case volume.Secret != nil:
			for _, item := range volume.Secret.Items {
				out[mount.MountPath+"/"+item.Path] = secret(item.Key)
			}
		case volume.ConfigMap != nil && !given(volume.ConfigMap.Name):
			data, err := configMap(all, volume.ConfigMap.Name)
			if err != nil {
				return nil, err
			}
			for name, text := range data {
				out[mount.MountPath+"/"+name] = text
			}
		}
	}
	return out, nil
}

// secret is what the key of a secret could hold.
func secret(key string) string {
	if !strings.HasSuffix(key, ".nk") {
		return "secret"
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		return err.Error()
	}
	seed, err := user.Seed()
	if err != nil {
		return err.Error()
	}
	return string(seed)
}

func (p pod) volume(name string) (corev1.Volume, error) {
	for _, v := range p.spec.Volumes {
		if v.Name == name {
			return v, nil
		}
	}
	return corev1.Volume{}, fmt.Errorf("%s: no volume %s", nameOf(p.owner), name)
}

// given reports whether somebody else makes an object that the values name.
func given(name string) bool {
	switch name {
	case "rescreen-nats", "rescreen-nats-tls", "rescreen-setup", "rescreen-api", "corporate-ca", "regcred", "default":
		return true
	}
	return false
}
