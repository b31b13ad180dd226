package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"rescreen/worker"
)

// limitsCmd is about the limits that all workers of a fleet share.
type limitsCmd struct {
	Show limitsShowCmd `cmd:"" help:"Show the limits: configured and in effect, and who uses them."`
	Set  limitsSetCmd  `cmd:"" help:"Change the limits of a running fleet, at once."`
}

// limitsTarget is whose limits are meant.
type limitsTarget struct {
	NATS   natsSettings `embed:""`
	APIEnv apiEnv       `group:"api" name:"api-env" placeholder:"local|current|prod" help:"Environment of the API whose limits are meant. By itself: the one that has any."`
}

// limitsShowCmd shows the limits.
type limitsShowCmd struct {
	limitsTarget
	outputOption
}

func (c *limitsShowCmd) problems() problems { return c.NATS.problems() }

// Run implements the command.
func (c *limitsShowCmd) Run(ctx context.Context, a *app) error {
	link, desk, err := c.open(ctx, a, "rescreen limits show")
	if err != nil {
		return err
	}
	defer link.Close()
	all, err := desk.readAll(ctx, c.APIEnv)
	if err != nil {
		return err
	}
	return printLimits(a, all, c.json())
}

// limitsSetCmd changes the limits. Its flags are no settings: what a worker is
// started with must not change the fleet by being in the environment.
type limitsSetCmd struct {
	limitsTarget
	CreateRate   *frequency `flag:"only" placeholder:"N/s|m|h" help:"Sessions created per unit of time by the whole fleet: 5/s, 300/m, 0.2/s."`
	CreateBurst  *int       `flag:"only" placeholder:"N" help:"How many creations more than the rate allows may reach the API in any time: what calls may be late, not calls at once."`
	RequestRate  *frequency `flag:"only" placeholder:"N/s|m|h" help:"All calls of the API per unit of time."`
	RequestBurst *int       `flag:"only" placeholder:"N" help:"The same as --create-burst, of all calls."`
	MaxOpen      *int       `flag:"only" placeholder:"N" help:"Sessions open at a time."`
	Reset        bool       `flag:"only" help:"Open what is closed and forget what the API's answers have taught; limits that cannot be read are written anew."`
	By           string     `flag:"only" placeholder:"NAME" help:"Who changes them, for the record. By itself: $$USER."`
	outputOption
}

// Help implements kong.HelpProvider.
func (c *limitsSetCmd) Help() string {
	return "What is not given stays as it is. All workers keep to the change within two seconds; who made it, and when, stands in the record. " +
		"Without any limits yet, the others are the defaults of rescreen worker."
}

func (c *limitsSetCmd) problems() problems {
	found := c.NATS.problems()
	for _, n := range []struct {
		flag  string
		value *int
	}{{"--create-burst", c.CreateBurst}, {"--request-burst", c.RequestBurst}, {"--max-open", c.MaxOpen}} {
		if n.value != nil {
			atLeast(&found, n.flag, *n.value, 1)
		}
	}
	if c.CreateRate == nil && c.CreateBurst == nil && c.RequestRate == nil && c.RequestBurst == nil && c.MaxOpen == nil && !c.Reset {
		found.addf("", "nothing to change: give at least one of --create-rate, --create-burst, --request-rate, --request-burst, --max-open, --reset")
	}
	checkName(&found, "--by", c.By)
	return found
}

// Run implements the command.
func (c *limitsSetCmd) Run(ctx context.Context, a *app) error {
	link, desk, err := c.open(ctx, a, "rescreen limits set")
	if err != nil {
		return err
	}
	defer link.Close()
	env, err := desk.only(ctx, c.APIEnv)
	if err != nil {
		return err
	}
	after, err := desk.change(ctx, env, c.Reset, func(l worker.Limits) worker.Change { return c.change(l) }, a.person(c.By))
	if err != nil {
		return err
	}
	return printLimits(a, []limitsReading{after}, c.json())
}

// change is what is to be changed of the limits as they are.
func (c *limitsSetCmd) change(l worker.Limits) worker.Change {
	return worker.Change{
		Create:   changedBudget(l.Create.Budget, c.CreateRate, c.CreateBurst),
		Requests: changedBudget(l.Requests.Budget, c.RequestRate, c.RequestBurst),
		MaxOpen:  c.MaxOpen, Reset: c.Reset,
	}
}

// changedBudget is b with what is given; nil if nothing is.
func changedBudget(b worker.Budget, rate *frequency, burst *int) *worker.Budget {
	if rate == nil && burst == nil {
		return nil
	}
	if rate != nil {
		b.Rate = rate.PerSecond()
	}
	if burst != nil {
		b.Burst = *burst
	}
	return &b
}

// limitsReading is the limits as they were read.
type limitsReading struct {
	APIEnv apiEnv    `json:"api_env"`
	At     time.Time `json:"at"` // server's time
	// CreateRate and RequestRate are in effect now, in calls per second.
	CreateRate  float64       `json:"effective_create_rate"`
	RequestRate float64       `json:"effective_request_rate"`
	Limits      worker.Limits `json:"limits"`
}

func newLimitsReading(env apiEnv, l worker.Limits, now time.Time) limitsReading {
	return limitsReading{APIEnv: env, At: now, Limits: l, CreateRate: l.Create.Effective(now), RequestRate: l.Requests.Effective(now)}
}

func printLimits(a *app, all []limitsReading, asJSON bool) error {
	if asJSON {
		return writeJSON(a.stdout, all)
	}
	for i, r := range all {
		if i > 0 {
			if _, err := fmt.Fprintln(a.stdout); err != nil {
				return err
			}
		}
		if err := r.print(a, a.colours(a.stdout)); err != nil {
			return err
		}
	}
	return nil
}

// print writes the limits for a person.
func (r limitsReading) print(a *app, paint colours) error {
	l := r.Limits
	var sum worker.Tally
	var rows [][]string
	for _, id := range slices.Sorted(maps.Keys(l.Workers)) {
		u := l.Workers[id]
		t := u.LastMinute(r.At)
		sum = sum.Plus(t)
		rows = append(rows, []string{
			id, ago(r.At.Sub(u.Seen)), number(u.Creating), number(t.LeasedCreates), number(t.UsedCreates),
			number(t.LeasedRequests), number(t.UsedRequests), number(t.Tries),
		})
	}
	if _, err := fmt.Fprintf(a.stdout, "%s  revision %d, set by %s on %s\n\n", r.APIEnv, l.Revision, l.SetBy, timeText(l.SetAt)); err != nil {
		return err
	}
	err := writeTable(a.stdout, []string{"", "CONFIGURED", "BURST", "IN EFFECT", "LEASED/MIN", "USED/MIN"}, [][]string{
		{"creations", frequencyText(l.Create.Rate), number(l.Create.Burst), effectText(l.Create, r.CreateRate), number(sum.LeasedCreates), number(sum.UsedCreates)},
		{"all calls", frequencyText(l.Requests.Rate), number(l.Requests.Burst), effectText(l.Requests, r.RequestRate), number(sum.LeasedRequests), number(sum.UsedRequests)},
		{"open sessions", number(l.Open.Max), "", openText(l.Open, r.At)},
	})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(a.stdout, "\n%s\n", r.gateText(paint)); err != nil {
		return err
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintln(a.stdout, "no worker has leased anything in the last two minutes")
		return err
	}
	if _, err := fmt.Fprintln(a.stdout); err != nil {
		return err
	}
	return writeTable(a.stdout, []string{"WORKER", "SEEN", "CREATING", "CREATIONS LEASED/MIN", "USED/MIN", "CALLS LEASED/MIN", "USED/MIN", "WRITES/MIN"}, rows)
}

// gateText says whether calls go out, and if not why.
func (r limitsReading) gateText(paint colours) string {
	l := r.Limits
	switch {
	case r.At.Before(l.Gate.Until):
		return paint.red(fmt.Sprintf("closed until %s: %s, seen by %s", timeText(l.Gate.Until), l.Gate.Why, l.Gate.By))
	case !l.Doubt.ClosedAt.IsZero():
		return paint.yellow(fmt.Sprintf("no creations since %s: %d in a row had an unknown outcome; the next is tried at %s",
			timeText(l.Doubt.ClosedAt), l.Doubt.Unknowns, timeText(l.Doubt.Until)))
	case !l.SilentSince.IsZero():
		return paint.yellow("no poll or fetch was answered since " + timeText(l.SilentSince))
	}
	return paint.green("open")
}

// effectText says what is in effect of a budget, and why not all of it.
func effectText(l worker.Line, effective float64) string {
	text := frequencyText(effective)
	switch {
	case l.SlowRate > 0 && effective <= l.SlowRate*1.01:
		return text + ", as RateLimit headers ask for"
	case l.Share < 1:
		return text + fmt.Sprintf(", 429 at %s", frequencyText(l.Ceiling*l.Usable()))
	case effective < 0.97*l.Rate:
		return text + ", for want of burst"
	}
	return text
}

func openText(o worker.Open, now time.Time) string {
	if o.At.IsZero() {
		return "not counted yet"
	}
	return fmt.Sprintf("%s, counted %s", number(o.Counted), ago(now.Sub(o.At)))
}

// frequencyText writes calls per second in the unit in which they are a number
// people can read.
func frequencyText(perSecond float64) string {
	unit, n := "s", perSecond
	if n < 0.1 {
		unit, n = "m", perSecond*60
	}
	if n < 0.1 {
		unit, n = "h", perSecond*3600
	}
	return strconv.FormatFloat(n, 'g', 4, 64) + "/" + unit
}

func ago(d time.Duration) string {
	if d < time.Second {
		return "now"
	}
	return durationText(d.Truncate(time.Second)) + " ago"
}
