package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"rescreen/store"
	"rescreen/worker"
)

// limitsDesk reads and changes the limits in the name of a person.
type limitsDesk struct{ store *store.Store }

func (t limitsTarget) open(ctx context.Context, a *app, name string) (*natsLink, *limitsDesk, error) {
	link, err := t.NATS.connect(ctx, name, a.grammar.logger(a.stderr))
	if err != nil {
		return nil, nil, err
	}
	a.link = link
	s, err := store.Open(ctx, link.JS, a.now)
	if err != nil {
		link.Close()
		return nil, nil, setUpFirst(err)
	}
	return link, &limitsDesk{s}, nil
}

// read returns the limits of an environment and their sequence in the register;
// store.ErrNotFound if there are none yet.
func (d *limitsDesk) read(ctx context.Context, env apiEnv) (worker.Limits, uint64, error) {
	value, seq, err := d.store.Registers.Load(ctx, worker.LimitsRegister(string(env)))
	if err != nil {
		return worker.Limits{}, seq, err
	}
	l, err := worker.DecodeLimits(value)
	return l, seq, err
}

// environments lists those that have limits, whether or not they can be read.
func (d *limitsDesk) environments(ctx context.Context) ([]apiEnv, error) {
	var found []apiEnv
	for _, env := range []apiEnv{envLocal, envCurrent, envProd} {
		_, _, err := d.store.Registers.Load(ctx, worker.LimitsRegister(string(env)))
		switch {
		case err == nil:
			found = append(found, env)
		case !errors.Is(err, store.ErrNotFound):
			return nil, err
		}
	}
	return found, nil
}

var errNoLimits = errors.New("no limits yet")

// limitsHint says how an environment gets its first limits.
func limitsHint(env apiEnv) string {
	if env == "" {
		env = "ENVIRONMENT"
	}
	return fmt.Sprintf("The first worker that has a job writes them from its settings; or write them now: rescreen limits set --api-env %s --create-rate 5/s", env)
}

// anewHint says how limits that cannot be read are written anew.
func anewHint(env apiEnv) string {
	return fmt.Sprintf("Write them anew, what is not given with its default: rescreen limits set --api-env %s --reset --create-rate … --request-rate …", env)
}

// readError adds what to do to the error of a read.
func readError(env apiEnv, err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return failedError(fmt.Errorf("%s: %w", env, errNoLimits), limitsHint(env))
	case errors.Is(err, worker.ErrLimits):
		return failedError(fmt.Errorf("%s: %w", env, err), anewHint(env))
	}
	return fmt.Errorf("%s: %w", env, err)
}

// only is the environment that is meant.
func (d *limitsDesk) only(ctx context.Context, given apiEnv) (apiEnv, error) {
	if given != "" {
		return given, nil
	}
	all, err := d.environments(ctx)
	switch {
	case err != nil:
		return "", err
	case len(all) == 0:
		return "", failedError(errNoLimits, limitsHint(""))
	case len(all) > 1:
		return "", usageError(fmt.Errorf("there are limits of %d environments", len(all)), "Say which with --api-env.")
	}
	return all[0], nil
}

// readAll reads the limits of one environment, or of all that have any. What can
// be read is returned beside the error of what cannot.
func (d *limitsDesk) readAll(ctx context.Context, given apiEnv) ([]limitsReading, error) {
	envs := []apiEnv{given}
	if given == "" {
		var err error
		if envs, err = d.environments(ctx); err != nil {
			return nil, err
		}
		if len(envs) == 0 {
			return nil, failedError(errNoLimits, limitsHint(""))
		}
	}
	all := []limitsReading{}
	var failed error
	for _, env := range envs {
		l, _, err := d.read(ctx, env)
		if err != nil {
			failed = readError(env, err)
			continue
		}
		all = append(all, newLimitsReading(env, l, d.store.Clock.Now()))
	}
	return all, failed
}

// changePatience is how long a change is tried against workers that lease all
// the while.
const (
	changePatience = 10 * time.Second
	conflictPause  = 10 * time.Millisecond
)

// errContended is returned when workers wrote the limits all the time.
var errContended = errors.New("others wrote the limits all the while, nothing was changed")

// change changes the limits, by compare-and-set like everybody, and announces
// it. anew says that limits that cannot be read may be replaced.
func (d *limitsDesk) change(ctx context.Context, env apiEnv, anew bool, what func(worker.Limits) worker.Change, by string) (limitsReading, error) {
	name := worker.LimitsRegister(string(env))
	for began := time.Now(); time.Since(began) < changePatience; {
		l, seq, err := d.read(ctx, env)
		now := d.store.Clock.Now()
		switch {
		case errors.Is(err, store.ErrNotFound), errors.Is(err, worker.ErrLimits) && anew:
			c := worker.DefaultConfig()
			l = worker.NewLimits(c.Create, c.Requests, c.MaxOpen, by, now)
		case err != nil:
			return limitsReading{}, readError(env, err)
		}
		change := what(l)
		l = l.Set(now, change, by)
		if err := checkLimits(l); err != nil {
			return limitsReading{}, err
		}
		value, err := l.Encode()
		if err != nil {
			return limitsReading{}, err
		}
		_, err = d.store.Registers.Commit(ctx, name, value, seq)
		if errors.Is(err, store.ErrConflict) {
			select { // workers lease all the while
			case <-time.After(rand.N(conflictPause)):
				continue
			case <-ctx.Done():
				return limitsReading{}, ctx.Err()
			}
		}
		if err != nil {
			return limitsReading{}, failedError(fmt.Errorf("%s: %w", env, err), "The change may have been made; look with: rescreen limits show")
		}
		// Lost announcements are no matter: every worker reads the record.
		_ = d.store.Signals.Announce(name, change.Announcement())
		return newLimitsReading(env, l, now), nil
	}
	return limitsReading{}, failedError(fmt.Errorf("%s: %w", env, errContended), "Try again.")
}

// checkLimits refuses limits that nobody can keep or reach.
func checkLimits(l worker.Limits) error {
	if err := l.Validate(); err != nil {
		return usageError(err, "See: rescreen limits set --help")
	}
	if l.Create.Rate > l.Requests.Rate {
		return usageError(fmt.Errorf("%s creations can never be reached: each is a call too, and %s calls are allowed",
			frequencyText(l.Create.Rate), frequencyText(l.Requests.Rate)), "Change --create-rate and --request-rate together.")
	}
	return nil
}
