package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// configCmd shows and checks what the other commands would work with.
type configCmd struct {
	Print configPrintCmd `cmd:"" help:"Print the effective configuration, with where each value comes from; secrets are hidden."`
	Check configCheckCmd `cmd:"" help:"Check the configuration of a worker and report everything that is wrong with it."`
}

// everySetting holds the settings of all commands.
type everySetting struct {
	Worker    workerSettings    `embed:""`
	Simulator simulatorSettings `embed:"" prefix:"simulator-"`
}

type configPrintCmd struct {
	everySetting
	Output string `flag:"only" short:"o" enum:"yaml,json" default:"yaml" placeholder:"yaml|json" help:"How to print. The YAML can be used as a configuration file."`
}

// Run implements the command. It prints what is set, whether or not a worker
// could work with it: that is what config check is for.
func (c *configPrintCmd) Run(a *app) error {
	if c.Output == "json" {
		return writeJSON(a.stdout, settingsJSON(a.settings))
	}
	return writeSettingsYAML(a.stdout, a.settings)
}

type configCheckCmd struct {
	everySetting
}

func (c *configCheckCmd) problems() problems {
	return append(c.Worker.problems(), c.Simulator.check("--simulator-")...)
}

// Run implements the command; the checks have passed when it is called.
func (c *configCheckCmd) Run(a *app) error {
	_, err := fmt.Fprintln(a.stdout, "ok")
	return err
}

// settingJSON is one setting as config print shows it.
type settingJSON struct {
	Value  string `json:"value"`
	Env    string `json:"env"`
	Origin string `json:"origin"`          // flag, env, file, default
	Place  string `json:"place,omitempty"` // variable, or file and line
}

func settingsJSON(settings []effective) map[string]settingJSON {
	out := map[string]settingJSON{}
	for _, e := range settings {
		out[e.flag.Name] = settingJSON{e.text(), e.env, string(e.origin.source), e.origin.place}
	}
	return out
}

// writeSettingsYAML prints the settings by group. What cannot or must not be
// read back stands as a comment: secrets, addresses with credentials, values
// that are not set, and settings that cannot stand in the file.
func writeSettingsYAML(w io.Writer, settings []effective) error {
	var b strings.Builder
	group := ""
	for _, e := range settings {
		if title := groupTitle(e.flag); title != group {
			group = title
			fmt.Fprintf(&b, "\n# %s\n", title)
		}
		text := e.text()
		line := e.flag.Name + ": " + yamlScalar(text)
		if text == "" {
			line = e.flag.Name + ":"
		}
		if text == "" || e.key == "" || strings.Contains(text, redacted) {
			line = "# " + line
		}
		fmt.Fprintf(&b, "%-44s # %s\n", line, e.origin)
	}
	_, err := io.WriteString(w, strings.TrimPrefix(b.String(), "\n"))
	return err
}

func groupTitle(f *kong.Flag) string {
	if f.Group == nil {
		return "General"
	}
	return strings.TrimSuffix(f.Group.Title, ":")
}

// yamlScalar quotes a value where YAML would read something else than text.
func yamlScalar(text string) string {
	if text == "true" || text == "false" || plainDecimal(text) {
		return text // yaml would quote them for being no strings; here that need not worry anybody
	}
	out, err := yaml.Marshal(text)
	if s := strings.TrimSuffix(string(out), "\n"); err == nil && !strings.Contains(s, "\n") {
		return s
	}
	return quoted(text)
}
