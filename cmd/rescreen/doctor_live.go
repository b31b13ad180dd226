package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"rescreen/apiclient"
	"rescreen/queue/portfolio"
	"rescreen/worker"
)

// liveSession is one session, run to see which assumed readings of the API hold.
// It keeps what a worker would have got from it.
type liveSession struct {
	api   *apiDoctor
	query apiclient.Query
	wait  time.Duration // for the results
	// agreed: somebody was named, and it may be billed.
	agreed bool

	ref       apiclient.Ref
	cut       bool                // it was interrupted
	createErr error               // a *refusal if it was not begun
	earlyErr  error               // of fetching the document before it was ready
	infos     []apiclient.Session // the answers to polls, in their order
	pollErr   error
	took      time.Duration // until everything was ready

	document             []byte
	documentErr, byPath  error // by the link if there is one, and by the profile's path
	report               apiclient.Report
	reportErr, reportWay error
	nobodyErr            error // of asking for a session that does not exist
}

// everything is what a session can be asked for, so that its readings are seen.
func everything() []string {
	return []string{
		"keyInformation.citizenship", "keyInformation.birthplace", "keyInformation.historicNames",
		"address.postal", "address.national", "address.historic", "address.numberOfResidents", "aml", "roles",
	}
}

// testPerson is the first of the documented test people of the test environment, who
// has all kinds of results. Nobody is called that.
func testPerson() apiclient.Query {
	return apiclient.Query{
		Country: "no", FirstName: "Tomas", LastName: "Topstad", DateOfBirth: "2007-01-01",
		SSN: "01010750160", SSNCountry: "NO", Language: "nb", Report: true, Expands: everything(),
	}
}

// live prepares a session. In prod nobody is screened, or billed, without being named
// and agreed to.
func (c *doctorCmd) live(d *doctor) (*liveSession, error) {
	l := &liveSession{api: &apiDoctor{doctor: d}, query: testPerson(), wait: c.LiveWait, agreed: c.Person != "" && c.AcceptBill}
	prod := c.API.APIEnv == envProd
	if prod && !l.agreed {
		return nil, usageError(errors.New("--live in prod screens a real person and is billed"), agree)
	}
	profile, _ := c.API.profile() // one that cannot be read stands in the configuration's finding
	if host := prodHost(c.API.APIIssuer, c.API.APIBaseURL, c.API.APITokenURL, profile.BaseURLs[string(c.API.APIEnv)]); host != "" {
		prod = true
		if !l.agreed {
			return nil, usageError(fmt.Errorf("--live at %s, which is prod, screens a real person and is billed", host), agree)
		}
	}
	if c.Person == "" {
		return l, nil
	}
	file, err := os.Open(c.Person)
	if err != nil {
		return nil, usageError(fmt.Errorf("--person cannot be read: %w", err), "")
	}
	defer func() { _ = file.Close() }() // opened for reading: nothing can be lost
	l.query, err = onePerson(file, portfolio.Options{RefuseTestNumbers: prod && !c.API.AllowTestNumbers})
	if err != nil {
		return nil, usageError(fmt.Errorf("--person %s: %w", c.Person, err), "It is a portfolio, CSV with a header or NDJSON, of one row.")
	}
	return l, nil
}

const agree = "Name the person with --person FILE and agree with --accept-bill; or use the test environment: --api-env current, without addresses of prod."

// prodHost returns the first host among the addresses that is one of prod's, "" if
// none is.
func prodHost(addresses ...string) string {
	prod, err := apiclient.Environment(apiclient.EnvProd)
	if err != nil {
		return ""
	}
	host := func(address string) string {
		u, err := url.Parse(address)
		if err != nil {
			return ""
		}
		return strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	}
	known := []string{host(prod.Issuer), host(prod.BaseURL), host(prod.TokenURL)}
	for _, a := range addresses {
		if h := host(a); h != "" && slices.Contains(known, h) {
			return h
		}
	}
	return ""
}

// onePerson reads a portfolio of one row.
func onePerson(in io.Reader, o portfolio.Options) (apiclient.Query, error) {
	rows, err := portfolio.Open(in, o)
	if err != nil {
		return apiclient.Query{}, err
	}
	row, err := rows.Next()
	if err == nil && row.Reject != nil {
		return apiclient.Query{}, fmt.Errorf("%s %s", row.Reject.Column, row.Reject.Reason)
	}
	if err != nil {
		return apiclient.Query{}, errors.New("holds nobody")
	}
	if _, err := rows.Next(); !errors.Is(err, io.EOF) {
		return apiclient.Query{}, errors.New("holds more than one row")
	}
	j := row.Job.WithDefaults()
	return apiclient.Query{
		Country: j.Country, FirstName: j.FirstName, LastName: j.LastName, DateOfBirth: j.DateOfBirth,
		SSN: j.SSN, SSNCountry: string(j.SSNCountry), Language: j.Language, Expands: j.Expands, Report: j.Report,
	}, nil
}

// examine runs the session and judges the readings.
func (l *liveSession) examine(ctx context.Context, before []finding) []finding {
	var probes []probe
	for _, r := range assumptions() {
		probes = append(probes, probe{"live-" + r.name, func(context.Context) finding {
			f := r.judge(l)
			if l.cut && f.Status != statusOK && r.name != "create" { // a POST always ends; of the rest only what holds is certain
				return notKnown("interrupted before it was seen")
			}
			return f
		}})
	}
	for _, f := range before {
		if f.Name == "api-token" && f.Status != statusOK {
			return notTried(probes, "there is no token")
		}
	}
	if err := l.api.open(l.api.settings.Lifecycle); err != nil {
		return notTried(probes, err.Error())
	}
	defer l.api.client.Close()
	l.run(ctx)
	l.cut = ctx.Err() != nil
	return look(ctx, probeTime, probes)
}

// A refusal is why no session was begun.
type refusal struct{ found, do string }

func (r *refusal) Error() string { return r.found }

// refuse says why no session may be begun, now that the addresses are known.
func (l *liveSession) refuse(ctx context.Context) *refusal {
	if ctx.Err() != nil {
		return &refusal{found: "not tried: interrupted"}
	}
	if held := l.api.held; held != "" {
		return &refusal{"not tried, as the fleet's limits say: " + held, "See limits. Run --live again when creations go out."}
	}
	if host := prodHost(l.api.login.Base, l.api.login.TokenURL); host != "" && !l.agreed {
		return &refusal{"not tried: the issuer says that the API is at " + host + ", which is prod, where a session screens a real person and is billed", agree}
	}
	return nil
}

// create creates the session. It always ends, whoever waits for it: a session whose
// answer nobody hears is billed all the same.
func (l *liveSession) create(ctx context.Context) (apiclient.SessionID, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), worker.CreateClaim) // the client's own timeout is below that
	defer cancel()
	return l.api.client.CreateSession(ctx, nil, l.query)
}

// left says what an interrupted session has left at the API; "" if nothing.
func (l *liveSession) left() string {
	if l == nil {
		return ""
	}
	switch kind, failed := apiclient.KindOf(l.createErr); {
	case l.ref.ID != "":
		return "; a session was created, and may be billed"
	case failed && kind == apiclient.Unknown:
		return "; a session may have been created, and be billed"
	}
	return ""
}

// run takes a session through its life as a worker does, with a few harmless calls
// more that tell how the API answers what a worker seldom asks.
func (l *liveSession) run(ctx context.Context) {
	client := l.api.client
	l.api.login, l.api.err = client.LogIn(ctx)
	if r := l.refuse(ctx); r != nil {
		l.createErr = r
		return
	}
	if l.createErr = l.api.err; l.createErr != nil {
		return
	}
	id, err := l.create(ctx)
	if l.createErr = err; err != nil {
		return
	}
	began := time.Now()
	l.ref = apiclient.Ref{Country: l.query.Country, ID: id}
	_, l.earlyErr = client.Document(ctx, nil, l.ref, "")
	l.poll(ctx)
	l.took = time.Since(began)
	_, l.nobodyErr = client.Session(ctx, nil, apiclient.Ref{Country: l.query.Country, ID: "00000000-0000-4000-8000-000000000000"})
	last := l.last()
	if last.Document.State() == apiclient.EntityReady {
		l.document, l.documentErr = client.Document(ctx, nil, l.ref, last.Document.Link)
		if l.byPath = l.documentErr; last.Document.Link != "" {
			_, l.byPath = client.Document(ctx, nil, l.ref, "")
		}
	}
	if last.Report.State() == apiclient.EntityReady {
		l.report, l.reportErr = client.Report(ctx, nil, l.ref, last.Report.Link)
		if l.reportWay = l.reportErr; last.Report.Link != "" {
			_, l.reportWay = client.Report(ctx, nil, l.ref, "")
		}
	}
}

// poll asks until everything that was ordered is ready or has failed, by the plan of
// the settings.
func (l *liveSession) poll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, l.wait)
	defer cancel()
	s := l.api.settings.Lifecycle
	plan := worker.Plan{First: s.PollFirst, Max: min(s.PollMax, 10*time.Second), Factor: s.PollFactor}
	for n := 0; ; n++ {
		pause := plan.Delay("doctor", n)
		if last := l.last(); last.RetryAfter > pause {
			pause = last.RetryAfter
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		info, err := l.api.client.Session(ctx, nil, l.ref)
		if l.pollErr = err; err != nil {
			if kind, _ := apiclient.KindOf(err); kind == apiclient.NotReady || kind == apiclient.Unavailable || kind == apiclient.Throttled {
				continue
			}
			return
		}
		l.infos = append(l.infos, info)
		if info.Failed() || settled(info.Document) && (!l.query.Report || settled(info.Report)) {
			return
		}
	}
}

func settled(e apiclient.Entity) bool {
	return e.State() == apiclient.EntityReady || e.State() == apiclient.EntityFailed
}

// last is the last answer to a poll.
func (l *liveSession) last() apiclient.Session {
	if len(l.infos) == 0 {
		return apiclient.Session{}
	}
	return l.infos[len(l.infos)-1]
}
