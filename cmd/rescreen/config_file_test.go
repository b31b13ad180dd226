package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// knownSettings are the settings of all commands.
func knownSettings(t testing.TB) []setting {
	t.Helper()
	parser, err := (&app{grammar: &grammar{}}).newParser(func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	return allSettings(parser.Model)
}

func TestParseConfigFile(t *testing.T) {
	known := knownSettings(t)
	for _, c := range []struct {
		name, content string
		want          map[string]string
		problems      []string
	}{
		{"empty", "", nil, nil},
		{"only comments", "# nothing\n", nil, nil},
		{"values", "slots: 3\ncreate-rate: 5/s\nembedded: true\n", map[string]string{"slots": "3", "create-rate": "5/s", "embedded": "true"}, nil},
		{"null is not given", "slots:\nuser: ~\n", nil, nil},
		{"empty text is given", `user: ""`, map[string]string{"user": ""}, nil},
		{"list", "api-scopes: [a, b]", map[string]string{"api-scopes": "a b"}, nil},
		{"list as text", "api-scopes: a b", map[string]string{"api-scopes": "a b"}, nil},
		{"anchor", "poll-first: &t 3s\npoll-max: *t\n", map[string]string{"poll-first": "3s", "poll-max": "3s"}, nil},
		{"key of another command", "simulator-shape: list", map[string]string{"simulator-shape": "list"}, nil},
		{"unknown key", "\nslot: 3", nil, []string{`f:2: unknown key "slot"; did you mean "slots"?`}},
		{"underscores", "create_rate: 3/s", nil, []string{`f:1: unknown key "create_rate"; did you mean "create-rate"?`}},
		{"the file cannot name a file", "config: x", nil, []string{`f:1: unknown key "config"`}},
		{"option of one call", "dry-run: true", nil, []string{`f:1: unknown key "dry-run"`}},
		{"twice", "slots: 3\nslots: 4", map[string]string{"slots": "3"}, []string{`f:2: key "slots" stands twice`}},
		{"list for one value", "slots: [3]", nil, []string{`f:1: key "slots": takes one value, not a list`}},
		{"separator in a list", "api-scopes: [a b]", nil, []string{`f:1: key "api-scopes": takes a list of plain words`}},
		{"mapping", "api:\n  env: local", nil, []string{`f:1: unknown key "api"`}},
		{"mapping for a value", "slots: {a: 1}", nil, []string{`f:1: key "slots": takes a value, not a mapping`}},
		{"no mapping", "- slots", nil, []string{"f: not a list of settings: each line is written as key: value"}},
		{"two documents", "slots: 3\n---\nslots: 4", nil, []string{"f: holds more than one YAML document"}},
		{"no YAML", "slots: [", nil, []string{"f: not valid YAML: yaml: line 1: did not find expected node content"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			file, found := parseConfigFile("f", []byte(c.content), known)
			for key, want := range c.want {
				if got, ok := file.values[key]; got.text != want || !ok {
					t.Errorf("%s: %q, want %q", key, got.text, want)
				}
			}
			if len(file.values) != len(c.want) {
				t.Errorf("values %v, want %v", file.values, c.want)
			}
			var texts []string
			for _, p := range found {
				texts = append(texts, p.String())
			}
			if strings.Join(texts, "\n") != strings.Join(c.problems, "\n") {
				t.Errorf("problems %q, want %q", texts, c.problems)
			}
		})
	}
}

func FuzzParseConfigFile(f *testing.F) {
	for _, seed := range []string{"", "slots: 3", "a: *a", "&a a: *a", "<<: {slots: 3}", "? [a]\n: b", "slots: !!binary aGk=", "- x", "\x00", "--- \n...\n---"} {
		f.Add(seed)
	}
	known := knownSettings(f)
	f.Fuzz(func(t *testing.T, content string) {
		file, found := parseConfigFile("f", []byte(content), known)
		if len(found) == 0 && strings.Contains(found.Error(), "\x00") {
			t.Error("an empty list of problems has a text")
		}
		for key := range file.values {
			if !containsKey(known, key) {
				t.Errorf("key %q is none of ours", key)
			}
		}
	})
}

func containsKey(known []setting, key string) bool {
	for _, s := range known {
		if s.key == key {
			return true
		}
	}
	return false
}

func TestReadSmallFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := readSmallFile(name, 5); err != nil || string(data) != "12345" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := readSmallFile(name, 4); err == nil {
		t.Error("a file above the limit is read")
	}
	if _, err := readSmallFile(name+"x", 4); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
