package main

import (
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
	holdReadme(t, settingsBegin, settingsEnd, readmeSettings(t))
}

// holdReadme holds the generated part of the README between two marks to what it
// should be, or writes it there.
func holdReadme(t *testing.T, begin, end, generated string) {
	t.Helper()
	content, err := os.ReadFile(readme)
	must(t, err)
	before, rest, begins := strings.Cut(string(content), begin)
	_, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		t.Fatalf("README.md lacks the lines %s and %s", begin, end)
	}
	want := before + begin + "\n\n" + generated + "\n" + end + after
	switch {
	case want == string(content):
	case *update:
		must(t, os.WriteFile(readme, []byte(want), 0o644))
	default:
		t.Fatalf("what stands in README.md between %s and %s is not what the code says; run: go test ./cmd/rescreen -run %s -update", begin, end, t.Name())
	}
}

// readmeText is a text as it can stand in a table.
func readmeText(s string) string { return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(s) }

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
	return fmt.Sprintf("| %s | `%s` | %s | %s |\n", name, s.env, standard, readmeText(s.flag.Help))
}
