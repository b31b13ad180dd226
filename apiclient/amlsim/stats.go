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
	// Faults counts how often each fault acted, by its name or "#" and its place.
	Faults map[string]int `json:"faults"`
}

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
	creates   peaks
	requests  peaks
}

func newLedger(salt [16]byte) *ledger {
	return &ledger{
		salt: salt, perPerson: map[int]int{}, repeated: map[personKey]int{},
		polls: map[int]int{}, calls: map[Call]*CallStats{},
	}
}

// arrived counts a call.
func (l *ledger) arrived(call Call, at time.Duration) {
	l.of(call).Total++
	if call.ofAML() {
		l.requests.add(at)
	}
	if call == CallCreate {
		l.creates.add(at)
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
		Faults: s.faultCounts(),
	}
	for call, c := range l.calls {
		st.Calls[call] = CallStats{Total: c.Total, Status: maps.Clone(c.Status), Broken: c.Broken}
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
