package chart

import (
	"bufio"
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestProgramTakesIt hands arguments, environment and files of every container to the program itself: what it does
// not know, or does not accept, is found here and not on a cluster.
func TestProgramTakesIt(t *testing.T) {
	for name := range cases {
		if name == "default" {
			continue // says on purpose which setting is missing; see below
		}
		t.Run(name, func(t *testing.T) {
			all := render(t, "r", caseValues(t, name))
			for _, p := range pods(all) {
				for _, c := range p.spec.Containers {
					tryContainer(t, all, p, c)
				}
			}
		})
	}
}

// TestDefaultSaysWhatIsMissing: without values a worker ends with one message about one setting.
func TestDefaultSaysWhatIsMissing(t *testing.T) {
	all := render(t, "r", nil)
	for _, p := range pods(all) {
		if p.labels[componentLabel] != "worker" {
			continue
		}
		out := program(t, containerEnv(t, all, p, p.spec.Containers[0]), "config", "check")
		if out.code != 2 || strings.Count(out.stderr, "--api-env") != 1 || strings.Count(strings.TrimSpace(out.stderr), "\n") > 1 {
			t.Errorf("exit %d\n%s", out.code, out.stderr)
		}
	}
}

func tryContainer(t *testing.T, all objects, p pod, c corev1.Container) {
	t.Helper()
	env := containerEnv(t, all, p, c)
	// Unknown commands and flags are errors, also beside --help.
	if out := program(t, env, append(slices.Clone(c.Args), "--help")...); out.code != 0 {
		t.Errorf("rescreen %s: exit %d\n%s", strings.Join(c.Args, " "), out.code, out.stderr)
		return
	}
	switch c.Args[0] {
	case "worker", "doctor":
		out := program(t, env, "config", "check")
		if out.code != 0 || out.stderr != "" {
			t.Errorf("%s: config check: exit %d\n%s%s", nameOf(p.owner), out.code, out.stdout, out.stderr)
		}
	case "setup":
		// It can but look for a server; a setting that is wrong would be exit code 2.
		out := program(t, append(env, "NATS_URL=nats://127.0.0.1:1"), c.Args...)
		if out.code != 1 || strings.Contains(out.stderr, "warning") {
			t.Errorf("%s: exit %d\n%s", nameOf(p.owner), out.code, out.stderr)
		}
	case "simulator":
		tryServer(t, env, append(slices.Clone(c.Args), "--listen=127.0.0.1:0"))
	default:
		t.Errorf("%s: runs %q, which no test knows", nameOf(p.owner), c.Args[0])
	}
}

// tryServer starts a program that serves, and stops it as soon as it does.
func tryServer(t *testing.T, env, args []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env, cmd.Dir = env, t.TempDir()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first, _ := bufio.NewReader(stderr).ReadString('\n')
	cancel()
	_ = cmd.Wait() // killed
	if !strings.HasPrefix(first, "simulated AML API at") {
		t.Errorf("rescreen %s: says %q", strings.Join(args, " "), first)
	}
}

// containerEnv is the environment of a container, with its files laid out below a directory of the test's.
func containerEnv(t *testing.T, all objects, p pod, c corev1.Container) []string {
	t.Helper()
	env, err := environment(all, c)
	if err != nil {
		t.Fatal(err)
	}
	found, err := files(all, p, c)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for name, text := range found {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		value := env[name]
		if strings.HasPrefix(value, "/etc/rescreen/") {
			value = filepath.Join(root, value)
		}
		out = append(out, name+"="+value)
	}
	return out
}

// TestOwnSettings: each setting that the chart gives a value of its own is refused under config, and is a setting; and
// each variable that a worker gets from a value of its own is among them.
func TestOwnSettings(t *testing.T) {
	all := render(t, "r", caseValues(t, "full"))
	var worker pod
	for _, p := range pods(all) {
		if p.labels[componentLabel] == "worker" {
			worker = p
		}
	}
	printed := program(t, containerEnv(t, all, worker, worker.spec.Containers[0]), "config", "print")
	for line := range strings.Lines(printed.stdout) {
		setting, origin, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "# "), "# ")
		key, _, ok := strings.Cut(setting, ":")
		if !ok || !strings.HasPrefix(origin, "env ") || key == "config" {
			continue
		}
		_, err := template(t, "r", with(valuesFile(t, "minimal-values.yaml"), values{"config": values{key: "a"}}))
		if err == nil || !strings.Contains(err.Error(), "config."+key+": has a value of its own") {
			t.Errorf("config.%s is taken, though the chart sets it (%v)", key, err)
		}
	}
}
