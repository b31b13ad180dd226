package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

func TestWriteTable(t *testing.T) {
	var b strings.Builder
	if err := writeTable(&b, []string{"BATCH", "ROWS"}, [][]string{{"a", "1"}, {"longer", "20", ""}}); err != nil {
		t.Fatal(err)
	}
	if want := "BATCH   ROWS\na       1\nlonger  20\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

func TestWriteJSONKeepsText(t *testing.T) {
	var b strings.Builder
	if err := writeJSON(&b, map[string]string{"a": "<&>"}); err != nil {
		t.Fatal(err)
	}
	if want := "{\n  \"a\": \"<&>\"\n}\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

func TestColours(t *testing.T) {
	if got := (&app{}).colours(&bytes.Buffer{}).red("x"); got != "x" {
		t.Errorf("painted where no terminal is: %q", got)
	}
	if got := colours(true).green("x"); got != "\x1b[32mx\x1b[0m" {
		t.Errorf("%q", got)
	}
}

func TestLogger(t *testing.T) {
	var b bytes.Buffer
	log := logSettings{LogLevel: "warn", LogFormat: "auto"}.logger(&b) // no terminal: JSON
	log.Info("dropped")
	for range 200 { // a sampler would drop some of these
		log.Warn("kept", zap.Duration("wait", 1500*time.Millisecond))
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 200 {
		t.Fatalf("%d lines, want 200", len(lines))
	}
	var line struct {
		Time  time.Time
		Level string
		Msg   string
		Wait  float64
	}
	if err := json.Unmarshal([]byte(lines[0]), &line); err != nil {
		t.Fatal(err)
	}
	if line.Level != "warn" || line.Msg != "kept" || line.Wait != 1.5 || line.Time.IsZero() {
		t.Errorf("%+v", line)
	}
	b.Reset()
	logSettings{LogLevel: "debug", LogFormat: "console"}.logger(&b).Debug("for people")
	if !strings.Contains(b.String(), "debug  for people") {
		t.Errorf("%q", b.String())
	}
}
