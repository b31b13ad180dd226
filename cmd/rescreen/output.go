package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// outputOption chooses between a table for people and JSON for programs.
type outputOption struct {
	Output string `flag:"only" short:"o" enum:"table,json" default:"table" placeholder:"table|json" help:"How to print."`
}

func (o outputOption) json() bool { return o.Output == "json" }

// writeTable prints aligned columns; a nil header prints none.
func writeTable(w io.Writer, header []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if header != nil {
		rows = append([][]string{header}, rows...)
	}
	for _, row := range rows {
		if _, err := fmt.Fprintln(t, strings.TrimRight(strings.Join(row, "\t"), "\t")); err != nil {
			return err
		}
	}
	return t.Flush()
}

// writeJSON prints one value, indented, for a program or a person with jq.
func writeJSON(w io.Writer, value any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(value)
}

// colours paints text on a terminal, and leaves it alone everywhere else and
// wherever NO_COLOR is set (no-color.org).
type colours bool

func (a *app) colours(w io.Writer) colours {
	_, refused := a.getenv("NO_COLOR")
	name, _ := a.getenv("TERM")
	return colours(!refused && name != "dumb" && isTerminal(w))
}

func (c colours) green(s string) string  { return c.paint("32", s) }
func (c colours) yellow(s string) string { return c.paint("33", s) }
func (c colours) red(s string) string    { return c.paint("31", s) }

func (c colours) paint(code, s string) string {
	if !c {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
