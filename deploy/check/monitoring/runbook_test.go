package monitoring

import (
	"bufio"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const runbookFile = "../../RUNBOOK.md"

// TestRunbookKnowsTheAlerts: each alert has an entry and each entry an alert, in
// the same order, and every link leads to one.
func TestRunbookKnowsTheAlerts(t *testing.T) {
	var alerts, entries []string
	for _, r := range loadRules(t) {
		if !slices.Contains(alerts, r.Alert) {
			alerts = append(alerts, r.Alert)
		}
	}
	text := read(t, runbookFile)
	_, text, found := strings.Cut(text, "\n## The alerts\n")
	if !found {
		t.Fatal("no heading ## The alerts")
	}
	for _, m := range regexp.MustCompile(`(?m)^### (\S+)$`).FindAllStringSubmatch(text, -1) {
		entries = append(entries, m[1])
	}
	if !slices.Equal(alerts, entries) {
		t.Errorf("alerts  %q\nentries %q", alerts, entries)
	}
	for _, m := range regexp.MustCompile(`\[(\w+)\]\(#(\w+)\)`).FindAllStringSubmatch(text, -1) {
		if !slices.Contains(entries, m[1]) || strings.ToLower(m[1]) != m[2] {
			t.Errorf("link %s leads nowhere", m[0])
		}
	}
	// A tired person finds the same things at the same places.
	for i, entry := range strings.Split(text, "\n### ")[1:] {
		for _, part := range []string{"*Look*", "*Do*", "*Do not* ", "*It is over* "} {
			if !strings.Contains(entry, part) {
				t.Errorf("%s has no %s", entries[i], part)
			}
		}
		for _, r := range loadRules(t) {
			if r.Alert == entries[i] && !strings.Contains(entry, "**"+r.Labels["severity"]+"**") && !strings.Contains(entry, "**"+r.Labels["severity"]+".**") {
				t.Errorf("%s does not say that it is a %s", entries[i], r.Labels["severity"])
			}
		}
	}
}

// TestRunbookNamesPanels: what is quoted as a panel of the dashboard is one.
func TestRunbookNamesPanels(t *testing.T) {
	var titles []string
	for _, p := range loadBoard(t).Panels {
		titles = append(titles, p.Title)
	}
	text := read(t, runbookFile)
	named := 0
	for _, m := range regexp.MustCompile(`"([A-Z][^"\n]{5,})"`).FindAllStringSubmatch(text, -1) {
		quoted := m[1]
		if slices.Contains(otherQuotes, quoted) {
			continue
		}
		named++
		if !slices.ContainsFunc(titles, func(title string) bool { return title == quoted || strings.HasPrefix(title, quoted+":") }) {
			t.Errorf("%q is no panel of the dashboard", quoted)
		}
	}
	if named < 20 {
		t.Errorf("only %d panels are named: is the pattern right?", named)
	}
}

// otherQuotes stand in the runbook between quotes and are no panels.
var otherQuotes = []string{"When NATS is in trouble", "Unprocessed Messages", "Outstanding Acks"}

// TestRunbookCommands: the program knows every command and every flag.
func TestRunbookCommands(t *testing.T) {
	exe := buildRescreen(t)
	commands := runbookCommands(read(t, runbookFile))
	if len(commands) < 15 {
		t.Fatalf("only %d commands: are they found?", len(commands))
	}
	for _, c := range commands {
		cmd := exec.Command(exe, append(strings.Fields(strings.ReplaceAll(c, "BATCH", "batch"))[1:], "--help")...)
		cmd.Env = []string{"HOME=" + t.TempDir()}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", c, err, out)
		}
	}
	// --help must not hide what is wrong.
	if exec.Command(exe, "limits", "set", "--no-such-flag", "--help").Run() == nil {
		t.Error("a flag that does not exist is accepted")
	}
}

// runbookCommands are the lines of code, and the code within lines, that start
// with the program's name.
func runbookCommands(text string) []string {
	var commands []string
	add := func(c string) {
		c = strings.TrimSpace(c)
		if strings.HasPrefix(c, "rescreen ") && !strings.Contains(c, "…") && !slices.Contains(commands, c) {
			commands = append(commands, c)
		}
	}
	inCode := false
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			inCode = !inCode
			continue
		}
		if inCode {
			add(line)
			continue
		}
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(line, -1) {
			add(m[1])
		}
	}
	return commands
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
