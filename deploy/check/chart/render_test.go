package chart

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const (
	chartDir     = "../../helm/rescreen"
	kustomizeDir = "../../kustomize"
	namespace    = "screening"
)

type values = map[string]any

// valuesFile reads values as Helm does, all numbers floating point.
func valuesFile(t *testing.T, name string) values {
	t.Helper()
	if name == "" {
		return values{}
	}
	data, err := os.ReadFile(filepath.Join(chartDir, "ci", name))
	if err != nil {
		t.Fatal(err)
	}
	return parseValues(t, string(data))
}

func parseValues(t *testing.T, text string) values {
	t.Helper()
	v, err := chartutil.ReadValues([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// with lays values over others.
func with(base, over values) values {
	return chartutil.MergeTables(maps.Clone(over), base)
}

// template is `helm template`: the text of each file, or why not.
func template(t *testing.T, release string, v values) (map[string]string, error) {
	t.Helper()
	chart, err := loader.LoadDir(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	options := chartutil.ReleaseOptions{Name: release, Namespace: namespace, Revision: 1, IsInstall: true}
	rendered, err := chartutil.ToRenderValues(chart, v, options, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(chart, rendered)
}

// render decodes what the chart makes of values.
func render(t *testing.T, release string, v values) objects {
	t.Helper()
	files, err := template(t, release, v)
	if err != nil {
		t.Fatal(err)
	}
	var all objects
	for name, text := range files {
		if strings.HasSuffix(name, "NOTES.txt") {
			continue
		}
		found, err := decode(text)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		all = append(all, found...)
	}
	return all
}

// kustomize is `kubectl kustomize`.
func kustomize(t *testing.T, dir string) objects {
	t.Helper()
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(kustomizeDir, dir))
	if err != nil {
		t.Fatal(err)
	}
	text, err := made.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	all, err := decode(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}
