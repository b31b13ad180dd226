package worker

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Names of what a worker hears of by itself; the store and the client of the
// API tell of theirs under names of their own.
const (
	dueHealth    = "due consumer"
	jobsHealth   = "job stream"
	repairHealth = "repair"
	// TokenHealth is the name of the API's tokens.
	TokenHealth = "token"
)

const (
	// troubleGrace is after which time trouble counts when it is met again: a
	// request that had no answer is repeated within that, and most elections are over.
	troubleGrace = 3 * time.Second
	// troubleMemory is how long trouble counts that was not met again: what
	// failed may have been finished by another worker. Everything that fails is
	// tried again within little more than half a minute.
	troubleMemory = 40 * time.Second
	// tokenGrace is as long as a token lives. It is renewed early and only when
	// there is a call to make, and its endpoint is tried with growing pauses.
	tokenGrace  = 5 * time.Minute
	tokenMemory = 30 * time.Minute
	// reminderEvery is how often trouble that lasts is logged.
	reminderEvery = time.Minute
	// deadAfter is how long a loop may take for a turn. None waits longer than
	// turnWait, and then for the answer to some requests.
	deadAfter = 2 * time.Minute
)

// A Diagnosis is what an error says about whoever gave it.
type Diagnosis struct {
	Kind string // one of a few words
	Do   string // what a person can do; may be empty
}

// Trouble is what a worker waits for to end.
type Trouble struct {
	With        string
	Since, Last time.Time // when it was met first, and last
	Err         error
	Diagnosis
}

// TroubleKind is what trouble is counted by.
type TroubleKind struct{ With, Kind string }

// Health is what a worker knows about those it cannot do its work without:
// whether they did what they were last asked. It asks nobody itself.
type Health struct {
	diagnose func(error) Diagnosis
	log      *zap.Logger

	mu       sync.Mutex
	troubles map[string]*Trouble
	logged   map[string]time.Time // trouble that was logged, and when last
	counts   map[TroubleKind]int64
	turns    map[string]time.Time // when each loop last turned
}

// NewHealth returns the health of a worker that has heard of no trouble yet.
func NewHealth(log *zap.Logger, diagnose func(error) Diagnosis) *Health {
	return &Health{
		diagnose: diagnose, log: log,
		troubles: make(map[string]*Trouble), logged: make(map[string]time.Time),
		counts: make(map[TroubleKind]int64), turns: make(map[string]time.Time),
	}
}

// Heard takes in the end of a request: nil if it was done, or refused for good
// reason. It logs trouble that lasts, and its end.
func (h *Health) Heard(with string, err error) {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.troubles[with]
	if err == nil {
		if _, logged := h.logged[with]; logged {
			h.log.Info("trouble is over", zap.String("with", with))
		}
		delete(h.troubles, with)
		delete(h.logged, with)
		return
	}
	if t == nil || now.Sub(t.Last) > memoryOf(with) {
		t = &Trouble{With: with, Since: now}
		h.troubles[with] = t
	}
	t.Last, t.Err, t.Diagnosis = now, err, h.diagnose(err)
	h.counts[TroubleKind{with, t.Kind}]++
	if last, logged := h.logged[with]; t.counts(now) && (!logged || now.Sub(last) >= reminderEvery) {
		h.logged[with] = now
		h.log.Warn("trouble", zap.String("with", with), zap.String("kind", t.Kind), zap.Duration("for", now.Sub(t.Since)),
			zap.Error(err), zap.String("do", t.Do))
	}
}

// Troubles returns what counts as trouble now, in the order of names.
func (h *Health) Troubles() []Trouble {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []Trouble
	for _, t := range h.troubles {
		if t.counts(now) {
			found = append(found, *t)
		}
	}
	slices.SortFunc(found, func(a, b Trouble) int { return cmp.Compare(a.With, b.With) })
	return found
}

// Counts returns how often what trouble was met.
func (h *Health) Counts() map[TroubleKind]int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	counts := make(map[TroubleKind]int64, len(h.counts))
	for k, n := range h.counts {
		counts[k] = n
	}
	return counts
}

// counts reports whether trouble was met again after its grace, and of late.
func (t Trouble) counts(now time.Time) bool {
	return t.Last.Sub(t.Since) >= graceOf(t.With) && now.Sub(t.Last) <= memoryOf(t.With)
}

func graceOf(with string) time.Duration {
	if with == TokenHealth {
		return tokenGrace
	}
	return troubleGrace
}

func memoryOf(with string) time.Duration {
	if with == TokenHealth {
		return tokenMemory
	}
	return troubleMemory
}

// String is one line for a person.
func (t Trouble) String() string {
	line := fmt.Sprintf("%s: %s since %s: %v", t.With, t.Kind, t.Since.UTC().Format(time.RFC3339), t.Err)
	if t.Do != "" {
		line += ": " + t.Do
	}
	return line
}

// turned notes that a loop goes round.
func (h *Health) turned(loop string) {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turns[loop] = now
}

// Dead returns the loops that have not turned for so long that they never will.
func (h *Health) Dead() []string {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	return dead(now, h.turns)
}

func dead(now time.Time, turns map[string]time.Time) []string {
	var loops []string
	for loop, at := range turns {
		if now.Sub(at) > deadAfter {
			loops = append(loops, loop)
		}
	}
	slices.Sort(loops)
	return loops
}
