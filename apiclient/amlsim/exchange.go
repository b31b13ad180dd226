package amlsim

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// exchange is one call on its way through the simulator.
type exchange struct {
	target
	badMethod bool
	base      string // scheme://host of the addresses given out
	header    http.Header
	body      []byte
	latency   time.Duration

	query   query    // of a creation
	refused *refusal // what is wrong with it

	countryIndex int // -1: there is no such country
	number       uint64
	found        bool // a session is addressed and exists
	person       personKey
	hasPerson    bool
	lastName     string
	nth          uint32 // the how-manieth call of its kind for the session

	fault     *Fault
	throttled time.Duration // until a budget allows the call; 0: it does now
}

// arrive takes a call in: finds out what is asked about whom, picks the fault
// that will befall it, counts it and takes it out of the budgets.
func (s *Simulator) arrive(r *http.Request, body []byte) *exchange {
	ex := &exchange{target: s.route(r.URL.Path), header: r.Header, body: body, base: s.baseOf(r)}
	ex.badMethod = ex.method != "" && r.Method != ex.method
	ex.countryIndex = slices.Index(s.cfg.Countries, ex.country)
	if ex.call == CallCreate && !ex.badMethod {
		ex.query, ex.refused = readQuery(body, s.cfg.Now())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.identify(ex)
	if ex.call == callStats {
		return ex
	}
	at := s.now()
	s.arrivals++
	ex.latency = s.cfg.Latency.draw(bits(s.cfg.Seed, drawLatency, s.arrivals))
	ex.fault = s.pickFault(ex, at)
	if ex.does(ActRefuse) {
		return ex // a connection that is never made is no call
	}
	s.stats.arrived(ex.call, at, s.tokens.serialOf(ex.header.Get("Authorization")))
	s.countForSession(ex)
	if ex.call.ofAML() {
		s.requests.arrived(at)
		ex.throttled = s.requests.take(at)
	}
	if ex.call == CallCreate {
		s.create.arrived(at)
		if ex.throttled == 0 {
			ex.throttled = s.create.take(at)
		}
	}
	return ex
}

// identify finds the session and the person a call is about.
func (s *Simulator) identify(ex *exchange) {
	switch {
	case ex.call == CallCreate && ex.refused == nil && !ex.badMethod:
		ex.person, ex.hasPerson, ex.lastName = ex.query.key(), true, ex.query.lastName
	case ex.id != "":
		number, ok := s.sessions.find(ex.id)
		if !ok || int(s.sessions.at(number).country) != ex.countryIndex {
			return
		}
		sess := s.sessions.at(number)
		ex.number, ex.found = number, true
		ex.person, ex.hasPerson = sess.person, true
		ex.nth = 1 + sess.callsOf(ex.call)
		if len(s.cfg.Faults) > 0 { // only a selector wants to know
			ex.lastName = unpackQuery(*sess, s.sessions.texts.get(sess.text)).lastName
		}
	}
}

// callsOf returns how many calls of a kind the session has seen.
func (s *session) callsOf(call Call) uint32 {
	switch call {
	case CallSession:
		return s.polls
	case CallDocument:
		return s.fetches
	case CallReport:
		return s.reports
	}
	return 0
}

// countForSession notes the call with its session.
func (s *Simulator) countForSession(ex *exchange) {
	if !ex.found {
		return
	}
	sess := s.sessions.at(ex.number)
	switch ex.call {
	case CallSession:
		s.stats.polled(sess.polls)
		sess.polls++
	case CallDocument:
		sess.fetches++
	case CallReport:
		sess.reports++
	}
}

// does tells whether the fault of the call is of the kind.
func (ex *exchange) does(kind ActionKind) bool { return ex.action(kind) != nil }

// action returns what the fault of the call says to do if it is of the kind.
func (ex *exchange) action(kind ActionKind) *Action {
	if ex.fault == nil || ex.fault.Do.Kind != kind {
		return nil
	}
	return &ex.fault.Do
}

// baseOf returns scheme and host under which the simulator is reached.
func (s *Simulator) baseOf(r *http.Request) string {
	if s.cfg.PublicURL != "" {
		return strings.TrimSuffix(s.cfg.PublicURL, "/")
	}
	scheme, host := "http", r.Host
	if r.TLS != nil || r.URL.Scheme == "https" {
		scheme = "https"
	}
	if host == "" {
		host = r.URL.Host
	}
	return scheme + "://" + host
}

// tellToWait puts a Retry-After into an answer and notes that it was told.
func (s *Simulator) tellToWait(a answer, wait time.Duration, asDate bool) {
	wait = (wait + time.Second - 1).Truncate(time.Second)
	a.header.Set("Retry-After", retryAfter(wait, asDate, s.cfg.Now()))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.toldToWait(s.now(), wait)
}

// retryAfter renders a wait as the value of a Retry-After header. Seconds are
// rounded up: a client that waits that long is let in.
func retryAfter(wait time.Duration, asDate bool, now time.Time) string {
	if asDate {
		return now.Add(wait + time.Second - 1).UTC().Format(http.TimeFormat)
	}
	return strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10)
}
