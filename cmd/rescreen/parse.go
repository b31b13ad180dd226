package main

import (
	"errors"
	"strings"

	"github.com/alecthomas/kong"
)

const description = `Re-screens customer portfolios against an asynchronous AML API.

Try it: rescreen demo`

// groups are the headings of the help and of the settings in the README.
func groups() []kong.Group {
	return []kong.Group{
		{Key: "nats", Title: "NATS:"},
		{Key: "api", Title: "AML API:"},
		{Key: "budget", Title: "Budgets of the fleet (first values; a stored record wins):"},
		{Key: "life", Title: "Sessions and polling:"},
		{Key: "run", Title: "Operation:"},
		{Key: "simulator", Title: "Simulator:"},
	}
}

// newParser builds the grammar. Kong must neither read the environment by
// itself nor leave the process: both belong to run.
func (a *app) newParser(exit func(int), more ...kong.Option) (*kong.Kong, error) {
	options := []kong.Option{
		kong.Name("rescreen"),
		kong.Description(description),
		kong.Writers(a.stdout, a.stderr),
		kong.Exit(exit),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.ValueFormatter(helpText),
		kong.ExplicitGroups(groups()),
	}
	return kong.New(a.grammar, append(options, more...)...)
}

// parse reads the command line, the environment and the configuration file
// into the grammar and checks the settings of the selected command. A nil
// context without an error means that help was printed.
func (a *app) parse(args []string) (*kong.Context, error) {
	helped := false
	r := &resolver{app: a, origins: map[*kong.Flag]origin{}}
	parser, err := a.newParser(func(int) { helped = true }, kong.Resolvers(r))
	if err != nil {
		return nil, err
	}
	r.model = parser.Model
	selected, err := parser.Parse(familiar(args))
	if helped {
		return nil, nil
	}
	if err != nil {
		return nil, &exitError{code: usageCode(err), err: errors.New(kongText(err)), hint: "See: " + helpCommand(err)}
	}
	a.settings = r.effective(selected)
	a.warnings = append(r.warnings(), secretFileWarnings(a.settings)...)
	if _, ok := selected.Selected().Target.Addr().Interface().(examiner); ok {
		a.found = r.problems
		return selected, nil
	}
	for _, w := range a.warnings {
		a.warn(w)
	}
	found := r.problems
	if c, ok := selected.Selected().Target.Addr().Interface().(checker); ok {
		found = found.merge(withOrigins(c.problems(), a.settings))
	}
	if len(found) > 0 {
		return nil, usageError(found, "See: "+selected.Selected().FullPath()+" --help")
	}
	return selected, nil
}

// withOrigins adds where a value comes from to problems with values that are
// not on the command line: whoever has a variable set for all sessions does
// not see it there.
func withOrigins(found problems, settings []effective) problems {
	for i, p := range found {
		for _, e := range settings {
			if p.setting == "--"+e.flag.Name && (e.origin.source == fromEnv || e.origin.source == fromFile) {
				found[i].text += " (" + e.origin.String() + ")"
			}
		}
	}
	return found
}

// familiar accepts the two spellings that people try first.
func familiar(args []string) []string {
	switch {
	case len(args) == 0:
		return args
	case args[0] == "help":
		return append(append([]string{}, args[1:]...), "--help")
	case args[0] == "--version" && len(args) == 1:
		return []string{"version"}
	}
	return args
}

// kongText is the message of a parse error; the parser writes lists over
// several lines, which would tear our one-line errors apart.
func kongText(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

// usageCode is the exit code for a command line that cannot be read.
func usageCode(err error) int {
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil && parse.Context.Selected() != nil {
		if _, ok := parse.Context.Selected().Target.Addr().Interface().(examiner); ok {
			return exitUnknown
		}
	}
	return exitUsage
}

// helpCommand names the help of the command in which parsing stopped.
func helpCommand(err error) string {
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil && parse.Context.Selected() != nil {
		return parse.Context.Selected().FullPath() + " --help"
	}
	return "rescreen --help"
}

// helpText is the help of a flag with its default and the name of its
// environment variable.
func helpText(v *kong.Value) string {
	if v.Flag == nil {
		return v.Help
	}
	var notes []string
	if v.HasDefault && !v.IsBool() {
		notes = append(notes, "default "+v.Default)
	}
	if s, ok := settingOf(v.Flag); ok {
		notes = append(notes, "$"+s.env)
	}
	if notes == nil {
		return v.Help
	}
	return v.Help + " (" + strings.Join(notes, "; ") + ")"
}
