package main

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"go.yaml.in/yaml/v3"
)

// accepts fails the test unless the program takes the command line and the
// environment: every flag and value, and every variable is one that it knows.
func accepts(t *testing.T, environ map[string]string, args ...string) {
	t.Helper()
	known := map[string]bool{"GOMEMLIMIT": true, "GOGC": true} // Go's own
	for _, s := range knownSettings(t) {
		known[s.env] = true
	}
	var list []string
	for name, value := range environ {
		if !known[name] {
			t.Errorf("rescreen %s: nobody reads the variable %s", strings.Join(args, " "), name)
		}
		list = append(list, name+"="+value)
	}
	var diagnostics bytes.Buffer
	a := &app{grammar: &grammar{}, stdout: &diagnostics, stderr: &diagnostics, environ: list}
	if _, err := a.parse(args); err != nil {
		t.Errorf("rescreen %s: %v\n%s", strings.Join(args, " "), err, diagnostics.String())
	}
}

const composeDeploy = "../../deploy/compose/"

// composeFile is what the tests look at in docker-compose.yml.
type composeFile struct {
	Services map[string]struct {
		Image       string
		Entrypoint  []string
		Command     []string
		Environment map[string]string
		User        string
		ReadOnly    bool     `yaml:"read_only"`
		CapDrop     []string `yaml:"cap_drop"`
		SecurityOpt []string `yaml:"security_opt"`
		Secrets     []string
		Volumes     []string
		DependsOn   map[string]any `yaml:"depends_on"`
	}
	Secrets map[string]struct{ File string }
	Volumes map[string]any
}

func readCompose(t *testing.T) composeFile {
	t.Helper()
	text, err := os.ReadFile(composeDeploy + "docker-compose.yml")
	must(t, err)
	var c composeFile
	must(t, yaml.Unmarshal(text, &c))
	return c
}

// Every service of ours is a command line and an environment that the program
// takes, with nothing in its container that it does not need.
func TestComposeRunsTheProgram(t *testing.T) {
	c := readCompose(t)
	secrets := t.TempDir()
	ours := 0
	for name, s := range c.Services {
		if !s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s may write to its image or has rights it does not need", name)
		}
		for _, secret := range s.Secrets {
			if c.Secrets[secret].File != "./secrets/"+secret {
				t.Errorf("%s: secret %s is in %q", name, secret, c.Secrets[secret].File)
			}
			must(t, os.WriteFile(filepath.Join(secrets, secret), []byte("x"), 0o600))
		}
		for _, needed := range slices.Collect(maps.Keys(s.DependsOn)) {
			if _, there := c.Services[needed]; !there {
				t.Errorf("%s depends on %s, which is not there", name, needed)
			}
		}
		for _, volume := range s.Volumes {
			source, _, _ := strings.Cut(volume, ":")
			_, named := c.Volumes[source]
			if _, err := os.Stat(composeDeploy + source); !named && (err != nil || !strings.HasPrefix(source, ".")) {
				t.Errorf("%s mounts %s, which is not there", name, source)
			}
		}
		if !strings.HasPrefix(s.Image, "rescreen:") {
			continue
		}
		ours++
		if s.User != "65532:65532" {
			t.Errorf("%s runs as %q", name, s.User)
		}
		environ := map[string]string{}
		for key, value := range s.Environment {
			environ[key] = strings.Replace(value, "/run/secrets", secrets, 1)
			if strings.HasSuffix(key, "_FILE") && !slices.Contains(s.Secrets, filepath.Base(value)) {
				t.Errorf("%s reads %s, which is not given to it", name, value)
			}
		}
		args := slices.Concat(s.Entrypoint, s.Command)
		if len(s.Entrypoint) > 0 {
			args = args[1:] // the program
		}
		if slices.Contains([]string{"submit", "watch", "export"}, name) {
			args = append(args, "name") // that the user adds
		}
		accepts(t, environ, args...)
	}
	if ours != 7 {
		t.Errorf("%d services of ours", ours)
	}
}

// The servers start with what secrets.sh makes, and with nothing else.
func TestComposeConfiguresNATS(t *testing.T) {
	root := t.TempDir() // of the container
	etc, run := filepath.Join(root, "etc/nats"), filepath.Join(root, "run")
	must(t, os.MkdirAll(etc, 0o700))
	for _, file := range []string{composeDeploy + "nats.conf", permissionsFile} {
		text, err := os.ReadFile(file)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(etc, filepath.Base(file)), text, 0o600))
	}
	compose := checkoutOf077(t)
	must(t, os.Symlink(compose, run))
	t.Setenv("SERVER_NAME", "nats-2")
	config := filepath.Join(etc, "nats.conf")
	if _, err := server.ProcessConfigFile(config); err == nil {
		t.Error("a server starts without passwords")
	}
	for range 2 { // what is there stays
		out, err := exec.Command("sh", filepath.Join(run, "secrets.sh")).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Fatalf("secrets.sh: %s%v", out, err)
		}
	}
	o, err := server.ProcessConfigFile(config)
	must(t, err)
	all, err := roles()
	must(t, err)
	if o.ServerName != "nats-2" || !o.SyncAlways || len(o.Routes) != 3 || len(o.Users) != len(all) || o.NoAuthUser != "" {
		t.Errorf("%+v", o)
	}
	for _, r := range all {
		password, err := os.ReadFile(filepath.Join(run, "secrets", r.name+"-password"))
		must(t, err)
		if !slices.ContainsFunc(o.Users, func(u *server.User) bool {
			return u.Username == r.name && len(u.Password) == 25 && u.Password == strings.TrimSpace(string(password)) &&
				slices.Equal(u.Permissions.Publish.Allow, r.permissions().Publish.Allow)
		}) {
			t.Errorf("no %s with its password and permissions", r.name)
		}
	}
}

// checkoutOf077 returns deploy/compose of a checkout with all that it mounts, which
// nobody but its owner can read.
func checkoutOf077(t *testing.T) string {
	t.Helper()
	compose := filepath.Join(t.TempDir(), "deploy/compose")
	for _, source := range append(composeMounts(t), "./secrets.sh") {
		to := filepath.Join(compose, source)
		info, err := os.Stat(composeDeploy + source)
		must(t, err)
		if info.IsDir() {
			must(t, os.MkdirAll(to, 0o700))
			continue
		}
		text, err := os.ReadFile(composeDeploy + source)
		must(t, err)
		must(t, os.MkdirAll(filepath.Dir(to), 0o700))
		must(t, os.WriteFile(to, text, 0o600))
	}
	must(t, os.WriteFile(filepath.Join(compose, "../../testdata/portfolio.csv"), nil, 0o600))
	return compose
}

// composeMounts are the files and directories of the checkout that are mounted.
func composeMounts(t *testing.T) []string {
	t.Helper()
	var sources []string
	for _, s := range readCompose(t).Services {
		for _, volume := range s.Volumes {
			if source, _, _ := strings.Cut(volume, ":"); strings.HasPrefix(source, ".") {
				sources = append(sources, source)
			}
		}
	}
	slices.Sort(sources)
	return slices.Compact(sources)
}

// Programs in containers, which are other users, can read what is mounted.
func TestComposeMountsAreReadable(t *testing.T) {
	compose := checkoutOf077(t)
	out, err := exec.Command("sh", "-c", "umask 077; sh "+filepath.Join(compose, "secrets.sh")).CombinedOutput()
	if err != nil {
		t.Fatalf("secrets.sh: %s%v", out, err)
	}
	for _, source := range append(composeMounts(t), "../../testdata/portfolio.csv") {
		info, err := os.Stat(filepath.Join(compose, source))
		must(t, err)
		if mode := info.Mode().Perm(); mode&0o004 == 0 || info.IsDir() && mode&0o001 == 0 {
			t.Errorf("%s: mode %v", source, info.Mode())
		}
	}
}

const unitFile = "../../deploy/systemd/rescreen.service"

// unitSettings reads a unit; settings of all sections together, which share no name.
func unitSettings(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(unitFile)
	must(t, err)
	settings := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+)=(.*)$`).FindAllStringSubmatch(string(text), -1) {
		settings[m[1]] = append(settings[m[1]], m[2])
	}
	return settings
}

// The unit starts a command that the program takes, with the environment it is
// given, in a cage.
func TestSystemdUnit(t *testing.T) {
	unit := unitSettings(t)
	credentials := t.TempDir()
	environ := map[string]string{}
	for _, line := range unit["Environment"] {
		name, value, _ := strings.Cut(line, "=")
		environ[name] = strings.NewReplacer("%d", credentials, "%S", "/var/lib").Replace(value)
	}
	text, err := os.ReadFile("../../deploy/systemd/rescreen.env")
	must(t, err)
	for _, line := range strings.Split(string(text), "\n") {
		if name, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			environ[name] = value
		}
	}
	credential, _, _ := strings.Cut(unit["LoadCredential"][0], ":")
	must(t, os.WriteFile(filepath.Join(credentials, credential), []byte("x"), 0o600))
	args := strings.Fields(unit["ExecStart"][0])
	accepts(t, environ, args[1:]...)
	if environ["RESCREEN_DATA_DIR"] != "/var/lib/"+unit["StateDirectory"][0] || len(environ) < 8 {
		t.Errorf("environment %v", environ)
	}
	for name, want := range map[string]string{
		"User": "rescreen", "Restart": "always", "RestartPreventExitStatus": "2", "KillSignal": "SIGTERM", "TimeoutStopSec": "60",
		"NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "CapabilityBoundingSet": "", "StateDirectoryMode": "0700", "UMask": "0077",
	} {
		if got := unit[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s=%v, want %q", name, got, want)
		}
	}
}

// The line that runs doctor says what the unit says, and leaves the credential to
// systemd.
func TestSystemdDoctor(t *testing.T) {
	text, err := os.ReadFile(unitFile)
	must(t, err)
	m := regexp.MustCompile(`(?m)^#   (systemd-run .*\\\n)#( .*)$`).FindSubmatch(text)
	if m == nil {
		t.Fatal("no line")
	}
	line := strings.Replace(string(m[1])+string(m[2]), "systemd-run", `printf '%s\n'`, 1)
	out, err := exec.Command("sh", "-c", line).Output()
	must(t, err)
	args := strings.Split(strings.TrimSpace(string(out)), "\n")
	unit := unitSettings(t)
	for _, name := range []string{"User", "EnvironmentFile", "LoadCredential"} {
		if !slices.Contains(args, name+"="+unit[name][0]) {
			t.Errorf("not with %s of the unit: %q", name, args)
		}
	}
	program := slices.Index(args, strings.Fields(unit["ExecStart"][0])[0])
	if program < 0 || !slices.Contains(args, "${CREDENTIALS_DIRECTORY}/api-client-secret") || !slices.Contains(args, "/var/lib/"+unit["StateDirectory"][0]) {
		t.Fatalf("runs %q", args)
	}
	accepts(t, nil, args[program+1:]...)
}
