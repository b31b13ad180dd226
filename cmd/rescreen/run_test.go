package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// runIn runs the program without a process.
func runIn(t *testing.T, environ []string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, diagnostics bytes.Buffer
	err = run(t.Context(), time.Now, args, environ, strings.NewReader(""), &out, &diagnostics)
	return out.String(), diagnostics.String(), err
}

func TestExitCodes(t *testing.T) {
	inner := errors.New("inner")
	for _, c := range []struct {
		err  error
		code int
		text string
	}{
		{nil, 0, ""},
		{inner, 1, "rescreen: inner\n"},
		{failedError(inner, "Do this."), 1, "rescreen: inner\n  Do this.\n"},
		{usageError(inner, ""), 2, "rescreen: inner\n"},
		{finishedWithFailures(inner), 3, "rescreen: inner\n"},
		{fmt.Errorf("outer: %w", usageError(inner, "Do that.")), 2, "rescreen: outer: inner\n  Do that.\n"},
	} {
		var b strings.Builder
		printError(&b, c.err)
		if got := exitCode(c.err); got != c.code || b.String() != c.text {
			t.Errorf("%v: code %d, prints %q; want %d, %q", c.err, got, b.String(), c.code, c.text)
		}
		if c.err != nil && !errors.Is(c.err, inner) {
			t.Errorf("%v does not hold its cause", c.err)
		}
	}
}

func TestInterruptedCommandFailsWithTheCause(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupt signal received"))
	err := run(ctx, time.Now, []string{"setup", "--server", "nats://127.0.0.1:1"}, nil, nil, &bytes.Buffer{}, &bytes.Buffer{})
	if exitCode(err) != exitFailed || err.Error() != "interrupted: interrupt signal received" {
		t.Errorf("code %d, %v", exitCode(err), err)
	}
}

func TestEmptyVariableIsNotSet(t *testing.T) {
	a := &app{environ: []string{"A=1", "A=2", "B="}}
	if v, ok := a.getenv("A"); v != "2" || !ok {
		t.Errorf("A = %q, %v", v, ok)
	}
	for _, key := range []string{"B", "C"} {
		if v, ok := a.getenv(key); ok {
			t.Errorf("%s = %q is set", key, v)
		}
	}
}

// effectiveSettings is what config print knows, by name of the flag.
func effectiveSettings(t *testing.T, environ []string, args ...string) map[string]settingJSON {
	t.Helper()
	stdout, stderr, err := runIn(t, environ, append([]string{"config", "print", "--output", "json"}, args...)...)
	if err != nil || stderr != "" {
		t.Fatalf("config print: %v\n%s", err, stderr)
	}
	var out map[string]settingJSON
	if err := json.Unmarshal([]byte(stdout), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// For every setting there is: a flag, a variable and a key do the same, in
// that order of strength.
func TestEverySettingHasThreePlaces(t *testing.T) {
	var file strings.Builder
	var environ, flags []string
	want := map[string][3]string{} // file, environment, flag
	defaults := effectiveSettings(t, nil)
	for _, s := range knownSettings(t) {
		if s.key == "" { // --config, which names the file itself
			continue
		}
		v := otherValues(t, s, defaults[s.key].Value)
		want[s.key] = v
		fmt.Fprintf(&file, "%s: %s\n", s.key, yamlScalar(v[0]))
		environ = append(environ, s.env+"="+v[1])
		flags = append(flags, "--"+s.key+"="+v[2])
	}
	if len(want) != len(defaults)-1 {
		t.Errorf("%d settings are known and %d printed", len(want), len(defaults)-1)
	}
	name := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(name, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	flags = append(flags, "--config", name)
	fromFile := effectiveSettings(t, nil, "--config", name)
	fromEnvironment := effectiveSettings(t, environ, "--config", name)
	fromFlags := effectiveSettings(t, environ, flags...)
	for key, v := range want {
		checkSetting(t, key, fromFile[key], v[0], "file")
		checkSetting(t, key, fromEnvironment[key], v[1], "env")
		checkSetting(t, key, fromFlags[key], v[2], "flag")
	}
}

func checkSetting(t *testing.T, key string, got settingJSON, value, origin string) {
	t.Helper()
	secret := got.Value == redacted
	if (got.Value != value && !secret) || got.Origin != origin {
		t.Errorf("%s: %q from %s %s, want %q from %s", key, got.Value, got.Origin, got.Place, value, origin)
	}
}

// otherValues finds three values that a setting can read, by trying.
func otherValues(t *testing.T, s setting, value string) [3]string {
	t.Helper()
	for _, candidate := range [][3]string{
		{"7s", "8s", "9s"},
		{"7/s", "8/m", "9/h"},
		{"current", "prod", "local"},
		{"debug", "warn", "error"},
		{"json", "console", "json"},
		{"post", "basic", "post"},
		{"fail", "recreate", "fail"},
		{"flat", "list", "mixed"},
		{"relative", "path", "none"},
		{"3", "4", "5"},
		{"true", "false", "true"},
		{"a", "b", "c"},
	} {
		if candidate[0] == value || (s.flag.IsBool() != (candidate[0] == "true")) {
			continue
		}
		if readable(s.flag, candidate[0]) == nil && readable(s.flag, candidate[1]) == nil && readable(s.flag, candidate[2]) == nil {
			return candidate
		}
	}
	t.Fatalf("no candidate fits %s, whose value is %q", s.key, value)
	return [3]string{}
}

// The printed configuration, used as a file, gives the same values.
func TestPrintedConfigurationIsOne(t *testing.T) {
	args := []string{
		"--create-rate", "0.2/s", "--api-scopes", "a b", "--embedded", "--poll-factor", "2", "--session-deadline", "90m",
		"--embedded-listen", "127.0.0.1:8118", "--user", "yes", "--api-client-id", `o'"hara: #1`, "--simulator-ready-after", "median=2s,sigma=1.5",
	}
	stdout, _, err := runIn(t, nil, append([]string{"config", "print"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte(stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	direct, again := effectiveSettings(t, nil, args...), effectiveSettings(t, nil, "--config", file)
	for name, want := range direct {
		if got := again[name]; got.Value != want.Value && name != "config" {
			t.Errorf("%s: %q became %q", name, want.Value, got.Value)
		}
	}
}

func TestDurationText(t *testing.T) {
	for d, want := range map[time.Duration]string{
		24 * time.Hour: "24h", 90 * time.Minute: "1h30m", 60 * time.Second: "1m", 100 * time.Minute: "1h40m", 10 * time.Second: "10s",
		1500 * time.Millisecond: "1.5s", 0: "0s", 20 * time.Hour: "20h", time.Hour + time.Second: "1h0m1s", 10 * time.Minute: "10m",
	} {
		if got := durationText(d); got != want {
			t.Errorf("%v prints %q, want %q", d, got, want)
		}
		if back, err := time.ParseDuration(durationText(d)); err != nil || back != d {
			t.Errorf("%q reads as %v, %v", durationText(d), back, err)
		}
	}
}
