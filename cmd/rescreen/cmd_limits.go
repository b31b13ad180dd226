package main

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	if len(all) == 0 && err != nil {
		return err
	}
	return errors.Join(printLimits(a, all, c.json()), err)
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
	env    apiEnv
	at     time.Time // server's time
	limits worker.Limits
}

func newLimitsReading(env apiEnv, l worker.Limits, now time.Time) limitsReading {
	return limitsReading{env: env, at: now, limits: l}
}

// limitsView is what --output json prints. Rates are calls per second.
type limitsView struct {
	APIEnv   apiEnv    `json:"api_env"`
	At       time.Time `json:"at"` // server's time
	Revision int       `json:"revision"`
	SetBy    string    `json:"set_by"`
	SetAt    time.Time `json:"set_at"`

	Create   lineView       `json:"create"`
	Requests lineView       `json:"requests"`
	Open     openView       `json:"open_sessions"`
	Holds    []holdView     `json:"holds"` // why calls do not go out; none: they do
	Workers  []consumerView `json:"workers"`
}

type lineView struct {
	Rate             float64 `json:"rate"`
	Burst            int     `json:"burst"`
	EffectiveRate    float64 `json:"effective_rate"`
	LeasedLastMinute int     `json:"leased_last_minute"`
	UsedLastMinute   int     `json:"used_last_minute"`
}

type openView struct {
	Max       int        `json:"max"`
	Counted   int        `json:"counted"`
	CountedAt *time.Time `json:"counted_at"`
}

type holdView struct {
	Only  string     `json:"only"` // "creations", or "" for all calls
	Why   string     `json:"why"`
	Until *time.Time `json:"until"`
}

type consumerView struct {
	ID             string    `json:"id"`
	Seen           time.Time `json:"seen"`
	Creating       int       `json:"creating"`
	LeasedCreates  int       `json:"leased_creates_last_minute"`
	UsedCreates    int       `json:"used_creates_last_minute"`
	LeasedRequests int       `json:"leased_requests_last_minute"`
	UsedRequests   int       `json:"used_requests_last_minute"`
	Tries          int       `json:"write_tries_last_minute"`
}

// view works the reading out.
func (r limitsReading) view() limitsView {
	l := r.limits
	v := limitsView{
		APIEnv: r.env, At: r.at, Revision: l.Revision, SetBy: l.SetBy, SetAt: l.SetAt,
		Create:   lineView{Rate: l.Create.Rate, Burst: l.Create.Burst, EffectiveRate: l.Create.Effective(r.at)},
		Requests: lineView{Rate: l.Requests.Rate, Burst: l.Requests.Burst, EffectiveRate: l.Requests.Effective(r.at)},
		Open:     openView{Max: l.Open.Max, Counted: l.Open.Counted, CountedAt: optional(l.Open.At)},
		Holds:    []holdView{}, Workers: []consumerView{},
	}
	for _, h := range l.Holds(r.at, worker.DefaultConfig().ResultLifetime) {
		only := ""
		if h.Creations {
			only = "creations"
		}
		v.Holds = append(v.Holds, holdView{Only: only, Why: h.Why, Until: optional(h.Until)})
	}
	for _, id := range slices.Sorted(maps.Keys(l.Workers)) {
		u := l.Workers[id]
		if r.at.Sub(u.Seen) > worker.UsageAge {
			continue
		}
		t := u.LastMinute(r.at)
		v.Workers = append(v.Workers, consumerView{
			ID: id, Seen: u.Seen, Creating: u.Creating, Tries: t.Tries,
			LeasedCreates: t.LeasedCreates, UsedCreates: t.UsedCreates, LeasedRequests: t.LeasedRequests, UsedRequests: t.UsedRequests,
		})
		v.Create.LeasedLastMinute += t.LeasedCreates
		v.Create.UsedLastMinute += t.UsedCreates
		v.Requests.LeasedLastMinute += t.LeasedRequests
		v.Requests.UsedLastMinute += t.UsedRequests
	}
	return v
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func printLimits(a *app, all []limitsReading, asJSON bool) error {
	views := []limitsView{}
	for _, r := range all {
		views = append(views, r.view())
	}
	if asJSON {
		return writeJSON(a.stdout, views)
	}
	for i, v := range views {
		if i > 0 {
			if _, err := fmt.Fprintln(a.stdout); err != nil {
				return err
			}
		}
		if err := v.print(a.stdout, a.colours(a.stdout), all[i].limits); err != nil {
			return err
		}
	}
	return nil
}

// print writes the limits for a person: first whether calls go out.
func (v limitsView) print(out io.Writer, paint colours, l worker.Limits) error {
	text := fmt.Sprintf("%s  revision %d, set by %s on %s\n", v.APIEnv, v.Revision, v.SetBy, timeText(v.SetAt))
	if len(v.Holds) == 0 {
		text += paint.green("open") + "\n"
	}
	for _, h := range v.Holds {
		text += h.text(paint) + "\n"
	}
	if _, err := fmt.Fprintln(out, text); err != nil {
		return err
	}
	err := writeTable(out, []string{"", "CONFIGURED", "BURST", "IN EFFECT", "USED IN THE LAST MINUTE"}, [][]string{
		{"creations", frequencyText(v.Create.Rate), number(v.Create.Burst), effectText(l.Create, v.Create.EffectiveRate), v.Create.usedText()},
		{"all calls", frequencyText(v.Requests.Rate), number(v.Requests.Burst), effectText(l.Requests, v.Requests.EffectiveRate), v.Requests.usedText()},
		{"open sessions", number(v.Open.Max), "", openText(l.Open, v.At)},
	})
	if err != nil {
		return err
	}
	if len(v.Workers) == 0 {
		_, err := fmt.Fprintln(out, "\nno worker has leased anything in the last two minutes")
		return err
	}
	rows := [][]string{}
	for _, w := range v.Workers {
		rows = append(rows, []string{
			w.ID, ago(v.At.Sub(w.Seen)), number(w.Creating), number(w.LeasedCreates), number(w.UsedCreates),
			number(w.LeasedRequests), number(w.UsedRequests), number(w.Tries),
		})
	}
	if _, err := fmt.Fprintln(out, "\nIn the last minute"); err != nil {
		return err
	}
	return writeTable(out, []string{"WORKER", "SEEN", "CREATING NOW", "CREATIONS LEASED", "CREATIONS", "CALLS LEASED", "CALLS", "WRITES"}, rows)
}

func (h holdView) text(paint colours) string {
	what, colour := "no calls", paint.red
	if h.Only != "" {
		what, colour = "no "+h.Only, paint.yellow
	}
	if h.Until != nil {
		return colour(fmt.Sprintf("%s until %s: %s", what, timeText(*h.Until), h.Why))
	}
	return colour(what + " for now: " + h.Why)
}

// usedText is what was used, as a number and as a rate.
func (l lineView) usedText() string {
	return fmt.Sprintf("%s (%s)", number(l.UsedLastMinute), frequencyText(float64(l.UsedLastMinute)/60))
}

// effectText says what is in effect of a budget, and why not all of it.
func effectText(l worker.Line, effective float64) string {
	text := frequencyText(effective)
	switch {
	case l.SlowRate > 0 && effective <= l.SlowRate*1.01:
		return text + ", as RateLimit headers ask for"
	case l.Share < 1:
		return text + fmt.Sprintf(", growing back after a 429 at %s", frequencyText(l.Ceiling*l.Usable()))
	case effective < 0.97*l.Rate:
		return text + ", a larger burst would give it all"
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
	if n > 0 && n < 0.1 {
		unit, n = "m", perSecond*60
	}
	if n > 0 && n < 0.1 {
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
