package main

import (
	"fmt"
	"strings"
)

// problem is one thing that is wrong with the configuration, in the user's
// words: settings are named as on the command line.
type problem struct {
	setting string // flag with its dashes ("--create-rate"), or the place in the file
	text    string
}

func (p problem) String() string {
	switch {
	case p.setting == "":
		return p.text
	case strings.HasPrefix(p.setting, "--"): // reads as a sentence: "--slots 0 must be at least 1"
		return p.setting + " " + p.text
	}
	return p.setting + ": " + p.text
}

// checker is a command that has settings to check after all of them are known.
type checker interface {
	problems() problems
}

// examiner is a command that runs whatever is wrong with the settings, and tells of
// it by itself.
type examiner interface {
	examinesSettings()
}

// problems is a list of them, and an error that names them all: whoever has to
// ask a colleague for each change of a configuration wants to ask once.
type problems []problem

func (ps *problems) addf(setting, format string, args ...any) {
	*ps = append(*ps, problem{setting, fmt.Sprintf(format, args...)})
}

// about reports whether a setting is already in the list.
func (ps problems) about(setting string) bool {
	for _, p := range ps {
		if p.setting == setting {
			return true
		}
	}
	return false
}

// merge appends what concerns settings not yet in the list: a value that
// cannot be read must not also be reported as missing.
func (ps problems) merge(more problems) problems {
	out := ps
	for _, p := range more {
		if p.setting == "" || !ps.about(p.setting) {
			out = append(out, p)
		}
	}
	return out
}

func (ps problems) Error() string {
	if len(ps) == 1 {
		return ps[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d settings are wrong", len(ps))
	for _, p := range ps {
		b.WriteString("\n  " + p.String())
	}
	return b.String()
}
