package amlsim

import (
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Simulator is the simulated API. Its methods may be used by many at once.
type Simulator struct {
	cfg    Config
	broken error // what Validate had to say
	start  time.Time
	signer *signer
	tokens *tokenMint

	mu       sync.Mutex // guards all below
	sessions *table
	create   gcra
	requests gcra
	stats    *ledger
	faults   []faultState
	arrivals uint64 // calls so far, to draw latencies from
}

// New makes a simulator. It never fails: see [Config.Validate].
func New(cfg Config) *Simulator {
	broken := cfg.Validate()
	cfg = cfg.withDefaults()
	cfg.Faults = slices.Clone(cfg.Faults)
	start := cfg.Now()
	keeper, err := newSigner(start)
	var salt [16]byte
	_, _ = rand.Read(salt[:]) // never fails, by its documentation
	return &Simulator{
		cfg:      cfg,
		broken:   errors.Join(broken, err),
		start:    start,
		signer:   keeper,
		tokens:   newTokenMint(),
		sessions: newTable(cfg.Seed, start),
		create:   newGCRA(cfg.CreateRate, cfg.CreateBurst),
		requests: newGCRA(cfg.RequestRate, cfg.RequestBurst),
		stats:    newLedger(salt),
		faults:   make([]faultState, len(cfg.Faults)),
	}
}

// now is the time since the simulator was made.
func (s *Simulator) now() time.Duration { return s.cfg.Now().Sub(s.start) }

// maxRequestBody bounds the body of a request, in bytes.
const maxRequestBody = 1 << 20

// readBody reads a body, and of one that is too large enough to show it.
func readBody(body io.Reader) ([]byte, error) {
	return io.ReadAll(io.LimitReader(body, maxRequestBody+1))
}

// ServeHTTP answers one call of the API or GET /stats.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The body is read before anything is decided, also because net/http notices
	// that a client has gone away only once the body is read.
	body, err := readBody(r.Body)
	if err != nil {
		closeConnection(w, true) // the client broke off, there is nobody to answer
		return
	}
	s.serve(w, r, s.arrive(r, body))
}

// SessionsOf returns how many sessions were created for a person, by the very
// words of the query.
func (s *Simulator) SessionsOf(firstName, lastName, dateOfBirth, ssn string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.sessions.perHead[keyOf(firstName, lastName, dateOfBirth, ssn)])
}
