// Package compose checks deploy/compose with the loader that Docker Compose itself
// uses: schema, unknown fields, references between services, volumes and secrets.
package compose

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
)

func TestComposeFile(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{"../../compose/docker-compose.yml"}, cli.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := project.CheckContainerNameUnicity(); err != nil {
		t.Error(err)
	}
	worker, err := project.GetService("worker")
	if err != nil || worker.GetScale() != 2 {
		t.Errorf("%d workers, %v", worker.GetScale(), err)
	}
	// Nothing is reached from other machines.
	for name, s := range project.Services {
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s on %q", name, port.Published, port.HostIP)
			}
		}
	}
	// What a bare `up` starts.
	project, err = project.WithProfiles(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"grafana", "nats-1", "nats-2", "nats-3", "prometheus", "setup", "simulator", "worker"}
	if got := slices.Sorted(maps.Keys(project.Services)); !slices.Equal(got, want) {
		t.Errorf("started: %v", got)
	}
	root, err := filepath.Abs("../../..")
	if err != nil || worker.Build.Context != root || worker.Build.Dockerfile != "deploy/Dockerfile" {
		t.Errorf("built from %+v, %v", worker.Build, err)
	}
}
