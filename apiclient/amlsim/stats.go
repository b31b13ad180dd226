package amlsim

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"time"
)

// Stats is what happened so far. It names nobody.
type Stats struct {
	// Started is when the simulator was made, Now when the numbers were taken.
	Started time.Time `json:"started"`
	Now     time.Time `json:"now"`
	// Sessions is how many were created; Open is how many of them have not had
	// their document fetched (failed and expired ones stay open for ever).
	Sessions int `json:"sessions"`
	Open     int `json:"open"`
	// People is how many people had a session. SessionsPerPerson tells for a
	// number of sessions how many people had it.
	People            int         `json:"people"`
	SessionsPerPerson map[int]int `json:"sessions_per_person"`
	// RepeatedPeople is how many people had more than one session. Repeated
	// lists them, most sessions first and at most MaxRepeated.
	RepeatedPeople int        `json:"repeated_people"`
	Repeated       []Repeated `json:"repeated"`
	// Polls is about calls for the session information, per session.
	Polls PollStats `json:"polls"`
	// Calls counts calls and their answers.
	Calls map[Call]CallStats `json:"calls"`
	// Throttled is how many answers were 429.
	Throttled int `json:"throttled"`
	// PeakCreate and PeakRequests are the most calls that arrived in any window:
	// creations, and calls of the AML API including those refused.
	PeakCreate   Peaks `json:"peak_create"`
	PeakRequests Peaks `json:"peak_requests"`
	// NeededCreateBurst and NeededRequestBurst are the smallest bursts that would
	// have let every call through, at the rates of the limits: in every window w
	// there were at most rate × w + this. 0 without a limit.
	NeededCreateBurst  float64 `json:"needed_create_burst"`
	NeededRequestBurst float64 `json:"needed_request_burst"`
	// Early is about calls that came before the time in a Retry-After.
	Early Early `json:"early"`
	// Logins tells what was done with each access token, in the order they were
	// given out, at most MaxLogins of them.
	Logins []Login `json:"logins"`
	// Faults counts how often each fault acted, by its name or "#" and its place.
	Faults map[string]int `json:"faults"`
}

// Early counts calls that came while a Retry-After was running, and how long at
// the most after the answer that held it: those were not on their way already.
type Early struct {
	Calls  int           `json:"calls"`
	Latest time.Duration `json:"latest"` // nanoseconds
}

// Login is what was done with one access token. A client that renews its token
// has several.
type Login struct {
	Calls   int `json:"calls"` // of the AML API, creations included
	Creates int `json:"creates"`
}

// MaxLogins bounds Stats.Logins.
const MaxLogins = 1000

// MaxRepeated bounds Stats.Repeated.
const MaxRepeated = 100

// Repeated is a person with more than one session.
type Repeated struct {
	// Person is a hash salted anew in every process: it tells people apart and
	// leads back to nobody.
	Person   string `json:"person"`
	Sessions int    `json:"sessions"`
}

// PollStats is the distribution of polls over sessions.
type PollStats struct {
	Min  int     `json:"min"`
	Mean float64 `json:"mean"`
	Max  int     `json:"max"`
	// Histogram tells for a number of polls how many sessions had it.
	Histogram map[int]int `json:"histogram"`
}

// CallStats counts the calls of one kind.
type CallStats struct {
	Total int `json:"total"`
	// Status counts answers by status.
	Status map[int]int `json:"status"`
	// Broken is how many calls ended without a whole answer: reset or cut short
	// by a fault, or given up by the client before the answer began.
	Broken int `json:"broken"`
}

// Peaks is the highest number of calls in any window of three lengths.
type Peaks struct {
	Second     int `json:"1s"`
	TenSeconds int `json:"10s"`
	Minute     int `json:"60s"`
}

// ledger keeps the numbers of Stats ready, so that asking for them is cheap
// whatever the number of sessions. It is guarded by the simulator's mutex.
type ledger struct {
	salt      [16]byte
	sessions  int
	open      int
	perPerson map[int]int
	repeated  map[personKey]int
	polls     map[int]int
	pollSum   int
	calls     map[Call]*CallStats
	throttled int
	early     Early
	shutFrom  time.Duration // when the first of the answers with Retry-After went out that are still on
	shutUntil time.Duration
	logins    map[uint64]*Login // by serial number of the token
	creates   peaks
	requests  peaks
}

func newLedger(salt [16]byte) *ledger {
	return &ledger{
		salt: salt, perPerson: map[int]int{}, repeated: map[personKey]int{},
		polls: map[int]int{}, calls: map[Call]*CallStats{}, logins: map[uint64]*Login{},
	}
}

// arrived counts a call made with a login, 0 if none.
func (l *ledger) arrived(call Call, at time.Duration, login uint64) {
	l.of(call).Total++
	if call.ofAML() {
		l.requests.add(at)
		l.loggedIn(call, login)
		if at > l.shutFrom && at < l.shutUntil {
			l.early.Calls++
			l.early.Latest = max(l.early.Latest, at-l.shutFrom)
		}
	}
	if call == CallCreate {
		l.creates.add(at)
	}
}

// loggedIn counts a call for its login.
func (l *ledger) loggedIn(call Call, login uint64) {
	of := l.logins[login]
	if of == nil {
		if login == 0 || len(l.logins) == MaxLogins {
			return
		}
		of = &Login{}
		l.logins[login] = of
	}
	of.Calls++
	if call == CallCreate {
		of.Creates++
	}
}

// toldToWait notes an answer with Retry-After.
func (l *ledger) toldToWait(at, wait time.Duration) {
	if at+wait > l.shutUntil {
		if at >= l.shutUntil {
			l.shutFrom = at
		}
		l.shutUntil = at + wait
	}
}

func (l *ledger) of(call Call) *CallStats {
	c := l.calls[call]
	if c == nil {
		c = &CallStats{Status: map[int]int{}}
		l.calls[call] = c
	}
	return c
}

// answered counts the answer of a call; status 0 is none.
func (l *ledger) answered(call Call, status int) {
	if status == 0 {
		l.of(call).Broken++
		return
	}
	l.of(call).Status[status]++
	if status == 429 {
		l.throttled++
	}
}

// created counts a new session of a person who now has that many.
func (l *ledger) created(person personKey, sessions uint32) {
	n := int(sessions)
	l.sessions++
	l.open++
	l.polls[0]++
	shift(l.perPerson, n-1, n)
	if n > 1 {
		l.repeated[person] = n
	}
}

// polled counts one more poll of a session that had that many.
func (l *ledger) polled(before uint32) {
	l.pollSum++
	shift(l.polls, int(before), int(before)+1)
}

// closed counts a session whose document was delivered.
func (l *ledger) closed() { l.open-- }

// shift moves one member of a distribution.
func shift(distribution map[int]int, from, to int) {
	if distribution[from] > 0 {
		distribution[from]--
		if distribution[from] == 0 {
			delete(distribution, from)
		}
	}
	distribution[to]++
}

// Stats returns the numbers so far.
func (s *Simulator) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.stats
	st := Stats{
		Started: s.start.UTC(), Now: s.cfg.Now().UTC(),
		Sessions: l.sessions, Open: l.open,
		People: len(s.sessions.perHead), SessionsPerPerson: maps.Clone(l.perPerson),
		RepeatedPeople: len(l.repeated), Repeated: l.mostRepeated(),
		Polls: l.pollStats(), Calls: map[Call]CallStats{}, Throttled: l.throttled,
		PeakCreate: l.creates.result(), PeakRequests: l.requests.result(),
		NeededCreateBurst: s.create.needed(), NeededRequestBurst: s.requests.needed(),
		Early: l.early, Logins: []Login{},
		Faults: s.faultCounts(),
	}
	for call, c := range l.calls {
		st.Calls[call] = CallStats{Total: c.Total, Status: maps.Clone(c.Status), Broken: c.Broken}
	}
	for _, serial := range slices.Sorted(maps.Keys(l.logins)) {
		st.Logins = append(st.Logins, *l.logins[serial])
	}
	return st
}

func (p *peaks) result() Peaks {
	return Peaks{Second: int(p.high[0]), TenSeconds: int(p.high[1]), Minute: int(p.high[2])}
}

func (l *ledger) pollStats() PollStats {
	ps := PollStats{Histogram: maps.Clone(l.polls)}
	if l.sessions == 0 {
		return ps
	}
	counts := slices.Collect(maps.Keys(l.polls))
	ps.Min, ps.Max = slices.Min(counts), slices.Max(counts)
	ps.Mean = float64(l.pollSum) / float64(l.sessions)
	return ps
}

// mostRepeated lists the people with most sessions. Only those listed are hashed
// and sorted: a test that screens everybody twice has a million to choose from.
func (l *ledger) mostRepeated() []Repeated {
	least, room := l.fewestListed()
	list := []Repeated{}
	for person, n := range l.repeated {
		if n < least || (n == least && room == 0) {
			continue
		}
		if n == least {
			room--
		}
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(bytes.Clone(l.salt[:]), uint64(person)))
		list = append(list, Repeated{Person: hex.EncodeToString(sum[:6]), Sessions: n})
	}
	slices.SortFunc(list, func(a, b Repeated) int {
		return cmp.Or(cmp.Compare(b.Sessions, a.Sessions), cmp.Compare(a.Person, b.Person))
	})
	return list
}

// fewestListed returns the smallest number of sessions that is listed, and room
// for how many people who have just that many.
func (l *ledger) fewestListed() (least, room int) {
	room = MaxRepeated
	for _, n := range slices.Backward(slices.Sorted(maps.Keys(l.perPerson))) {
		if l.perPerson[n] >= room {
			return n, room
		}
		room -= l.perPerson[n]
	}
	return 0, room // all of them
}
