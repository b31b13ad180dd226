package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated settings into the README")

const (
	readme        = "../../README.md"
	settingsBegin = "<!-- settings:begin -->"
	settingsEnd   = "<!-- settings:end -->"
)

// TestReadmeSettings holds the README's table of settings and the code
// together. After a change of a setting:
//
//	go test ./cmd/rescreen -run TestReadmeSettings -update
func TestReadmeSettings(t *testing.T) {
	content, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := bytes.Cut(content, []byte(settingsBegin))
	_, after, ends := bytes.Cut(rest, []byte(settingsEnd))
	if !begins || !ends {
		t.Fatalf("README.md lacks the lines %s and %s", settingsBegin, settingsEnd)
	}
	block := settingsBegin + "\n\n" + readmeSettings(t) + "\n" + settingsEnd
	want := string(before) + block + string(after)
	if want == string(content) {
		return
	}
	if !*update {
		t.Fatal("the settings in README.md are not those of the code; run: go test ./cmd/rescreen -run TestReadmeSettings -update")
	}
	if err := os.WriteFile(readme, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// readmeSettings writes one table per group, in the order of the help.
func readmeSettings(t *testing.T) string {
	t.Helper()
	var order []string
	rows := map[string][]string{}
	for _, g := range groups() {
		order = append(order, strings.TrimSuffix(g.Title, ":"))
	}
	order = append(order, "General")
	for _, s := range knownSettings(t) {
		title := groupTitle(s.flag)
		rows[title] = append(rows[title], readmeRow(s))
	}
	var b strings.Builder
	for _, title := range order {
		if len(rows[title]) == 0 {
			t.Errorf("no setting is of group %q", title)
		}
		fmt.Fprintf(&b, "**%s**\n\n| Flag | Environment | Default | |\n|---|---|---|---|\n%s\n", title, strings.Join(rows[title], ""))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func readmeRow(s setting) string {
	name := "`--" + s.flag.Name + "`"
	switch {
	case s.key == "":
		name += " (not in the file)"
	case s.key != s.flag.Name:
		name += ", in the file `" + s.key + "`"
	}
	standard := ""
	switch {
	case s.flag.HasDefault:
		standard = "`" + s.flag.Default + "`"
	case s.flag.IsBool():
		standard = "`false`"
	}
	help := strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(s.flag.Help)
	return fmt.Sprintf("| %s | `%s` | %s | %s |\n", name, s.env, standard, help)
}
