package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// A doctor looks at everything that a user of NATS and the API needs, changes
// nothing, and says what is wrong and what to do about it.
type doctor struct {
	now      func() time.Time
	settings workerSettings
	app      *app // what reading the settings has come to
	role     roleName
	roots    *x509.CertPool // whom to trust at the API; nil: whom the system trusts
	resolver *net.Resolver  // nil: the system's
	space    func(dir string) (free, total uint64, err error)
	log      *zap.Logger

	held string // why the fleet's limits let no creation out, as the check of the limits has found; "" if they do
}

// A finding is what one check has found.
type finding struct {
	Name   string `json:"name"`
	Status status `json:"status"`
	Found  string `json:"found"`
	// Do is what to do, in sentences for somebody who did not build this; "" if
	// there is nothing to do.
	Do string `json:"do"`
}

// status is what a finding means, from good to bad.
type status string

const (
	statusOK      status = "ok"
	statusUnknown status = "unknown" // not looked at, or not to be seen from here
	statusWarn    status = "warn"    // works, and should not stay so
	statusFail    status = "fail"    // does not work, or will not for long
)

func fine(format string, args ...any) finding {
	return finding{Status: statusOK, Found: fmt.Sprintf(format, args...)}
}

func notKnown(format string, args ...any) finding {
	return finding{Status: statusUnknown, Found: fmt.Sprintf(format, args...)}
}

func warning(do, format string, args ...any) finding {
	return finding{Status: statusWarn, Found: fmt.Sprintf(format, args...), Do: do}
}

func failure(do, format string, args ...any) finding {
	return finding{Status: statusFail, Found: fmt.Sprintf(format, args...), Do: do}
}

// together makes one finding of several: the worst status, and what was found
// and is to be done about those that have it or are at least warnings.
func together(all []finding, otherwise finding) finding {
	worst := statusOK
	for _, f := range all {
		if f.Status.worse(worst) {
			worst = f.Status
		}
	}
	if worst == statusOK {
		return otherwise
	}
	sum := finding{Status: worst}
	var found, do []string
	for _, f := range all {
		if f.Status != worst && f.Status != statusWarn {
			continue
		}
		found = append(found, f.Found)
		if f.Do != "" && !slices.Contains(do, f.Do) {
			do = append(do, f.Do)
		}
	}
	sum.Found, sum.Do = strings.Join(found, "; "), strings.Join(do, " ")
	return sum
}

func (s status) worse(than status) bool {
	order := []status{statusOK, statusUnknown, statusWarn, statusFail}
	return slices.Index(order, s) > slices.Index(order, than)
}

// A probe is one check: what it is called in every output, and how it is made.
type probe struct {
	name string
	look func(context.Context) finding
}

const (
	// examineTime bounds all checks together, which run at the same time.
	examineTime = 18 * time.Second
	// probeTime bounds one that asks NATS. A healthy server answers within
	// milliseconds, and one that elects a leader within some seconds.
	probeTime = 5 * time.Second
)

// examine makes all checks. None keeps another from being made, but those that
// need a connection say so when there is none.
func (d *doctor) examine(ctx context.Context) []finding {
	ctx, cancel := context.WithTimeout(ctx, examineTime)
	defer cancel()
	groups := []func(context.Context) []finding{d.examineHere, d.examineServers, d.examineAPI}
	found := make([][]finding, len(groups))
	var all sync.WaitGroup
	for i, examine := range groups {
		all.Go(func() { found[i] = examine(ctx) })
	}
	all.Wait()
	return slices.Concat(found...)
}

// look makes checks at the same time, each with a time of its own.
func look(ctx context.Context, each time.Duration, probes []probe) []finding {
	found := make([]finding, len(probes))
	var all sync.WaitGroup
	for i, p := range probes {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, each)
			defer cancel()
			found[i] = p.look(ctx)
			found[i].Name = p.name
		})
	}
	all.Wait()
	return found
}

// notTried is the finding of checks that could not be made.
func notTried(probes []probe, why string) []finding {
	var found []finding
	for _, p := range probes {
		f := notKnown("not tried: %s", why)
		f.Name = p.name
		found = append(found, f)
	}
	return found
}

// sumUp returns the worst of what was found, and how many of each. What is not
// known alarms nobody: why it is not stands in another line, or nobody asked.
func sumUp(found []finding) (worst status, count map[status]int) {
	worst, count = statusOK, map[status]int{}
	for _, f := range found {
		count[f.Status]++
		if f.Status != statusUnknown && f.Status.worse(worst) {
			worst = f.Status
		}
	}
	return worst, count
}
