package main

import (
	"context"
	"fmt"
	"io"
)

// setupCmd makes the streams. It is run once by whoever may create streams;
// workers need no such permission.
type setupCmd struct {
	NATS natsSettings `embed:""`
	outputOption
	DryRun           bool `flag:"only" help:"Show what would be done and change nothing."`
	PrintPermissions bool `flag:"only" help:"Print what a nats-server has to allow each role (submitter, worker, consumer of results, operator, setup), as configuration or, with --output json, as JSON; connect to nothing."`
	Replicas         int  `flag:"only" placeholder:"1|3|5" help:"Copies of each stream. By itself: 3 on a cluster and 1 on a single server, and never fewer than there are."`
}

func (c *setupCmd) problems() problems {
	found := c.NATS.problems()
	switch c.Replicas {
	case 0, 1, 3, 5:
	default:
		found.addf("--replicas", "%d is none of 1, 3, 5", c.Replicas)
	}
	return found
}

// Run implements the command.
func (c *setupCmd) Run(ctx context.Context, a *app) error {
	if c.PrintPermissions {
		return c.printPermissions(a)
	}
	log := a.grammar.logger(a.stderr)
	name := "rescreen setup"
	if c.DryRun { // for an operator, too
		name += " dry-run"
	}
	link, err := c.NATS.connect(ctx, name, log)
	if err != nil {
		return err
	}
	defer link.Close()
	a.link = link
	changes, err := setup(ctx, link.JS, setupOptions{Replicas: c.Replicas, DryRun: c.DryRun})
	if printErr := c.print(a, changes); printErr != nil {
		return printErr
	}
	return err
}

func (c *setupCmd) printPermissions(a *app) error {
	all, err := roles()
	if err != nil {
		return err
	}
	if !c.json() {
		return printPermissions(a.stdout, all)
	}
	byName := make(map[string]permissions)
	for _, r := range all {
		byName[r.name] = r.permissions()
	}
	return writeJSON(a.stdout, byName)
}

// setupJSON is what --output json prints.
type setupJSON struct {
	DryRun  bool     `json:"dry_run"`
	Changes []change `json:"changes"`
}

func (c *setupCmd) print(a *app, changes []change) error {
	if c.json() {
		return writeJSON(a.stdout, setupJSON{c.DryRun, append([]change{}, changes...)})
	}
	if err := printChanges(a.stdout, changes, a.colours(a.stdout)); err != nil {
		return err
	}
	return c.summarize(a, changes)
}

// summarize ends the plan with one line for the person, on stderr.
func (c *setupCmd) summarize(a *app, changes []change) error {
	count := map[action]int{}
	for _, ch := range changes {
		count[ch.Action]++
	}
	if count[actionRefused] > 0 || len(changes) == 0 {
		return nil // the error says it
	}
	created, changed := "created", "changed"
	if c.DryRun {
		created, changed = "to create", "to change"
	}
	_, err := fmt.Fprintf(a.stderr, "%d %s, %d %s, %d unchanged\n",
		count[actionCreate], created, count[actionChange], changed, count[actionUnchanged])
	return err
}

// printChanges prints a plan the way people know from other tools: + create,
// ~ change, = unchanged, ! cannot be changed in place.
func printChanges(w io.Writer, changes []change, paint colours) error {
	for _, c := range changes {
		line := fmt.Sprintf("%s %s %s", c.Action.sign(), c.Kind, c.Name)
		switch c.Action {
		case actionCreate:
			line = paint.green(line)
		case actionChange:
			line = paint.yellow(line)
		case actionRefused:
			line = paint.red(line)
		case actionUnchanged:
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
		for _, f := range c.Fields {
			note := ""
			if f.Fixed {
				note = "  (cannot be changed in place)"
			}
			if _, err := fmt.Fprintf(w, "    %s %s → %s%s\n", f.Field, f.Old, f.New, note); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a action) sign() string {
	switch a {
	case actionCreate:
		return "+"
	case actionChange:
		return "~"
	case actionUnchanged:
		return "="
	case actionRefused:
		return "!"
	}
	return "?"
}
