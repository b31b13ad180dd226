package worker

import (
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"
)

// A script has, for every call that any worker makes, how long it takes and
// what befalls the worker at it. All follows from the seed, who calls, what and for the
// how-manyth time. No two calls arrive at the same nanosecond, so under simulated
// time they have one order: the same seed goes the same way again.
type script struct {
	lots     *lots
	violence float64 // share of the calls at which something befalls the worker

	mu    sync.Mutex
	left  int // how often it still may: law 10 ends a job whose step died six times
	start time.Time
	trace []traced
}

// traced is one call as it happened.
type traced struct {
	at           time.Duration
	who, op, key string
	failed       bool
}

// A fate is what befalls a worker before or after a call.
type fate struct {
	dies   bool
	pauses time.Duration
}

// A callTurn is what a call meets.
type callTurn struct {
	ahead, behind time.Duration // on the way there and back
	before, after fate
}

func newScript(seed uint64, violence float64, most int) *script {
	return &script{lots: newLots(seed + 2), violence: violence, left: most, start: time.Now()}
}

// longestWay is how long a call is on its way at most, there or back.
const longestWay = 2 * time.Millisecond

// pause is how long somebody takes who might act together with others.
func (s *script) pause(who string) time.Duration {
	return 1 + time.Duration(s.lots.draw(who+" pauses", "").Int64N(int64(longestWay)))
}

func (s *script) turn(who, op, key string) (t callTurn) {
	if s == nil {
		return callTurn{}
	}
	rng := s.lots.draw(who+" "+op, key)
	t.ahead, t.behind = 1+time.Duration(rng.Int64N(int64(longestWay))), 1+time.Duration(rng.Int64N(int64(longestWay)))
	if rng.Float64() >= s.violence {
		return t
	}
	befalls := fate{dies: true}
	if rng.IntN(2) == 0 {
		befalls = fate{pauses: drawPause(rng)}
	}
	if rng.IntN(2) == 0 {
		t.before = befalls
	} else {
		t.after = befalls
	}
	return t
}

const longestPause = 2 * trialLifetime

// drawPause is shorter or longer than claims and ack waits, and now and then
// than anything there is.
func drawPause(rng *rand.Rand) time.Duration {
	longest := time.Minute
	if rng.IntN(8) == 0 {
		longest = longestPause
	}
	return time.Duration(rng.Int64N(int64(longest)))
}

// spend reports whether something may befall a worker once more.
func (s *script) spend() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left == 0 {
		return false
	}
	s.left--
	return true
}

// calm lets nothing befall anybody any more.
func (s *script) calm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = 0
}

func (s *script) note(who, op, key string, err error) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trace = append(s.trace, traced{time.Since(s.start), who, op, key, err != nil})
}

// lots draws by what is called and how often it was, so that a seed meets the
// same faults again whatever order goroutines run in.
type lots struct {
	seed  uint64
	mu    sync.Mutex
	calls map[string]uint64
}

func newLots(seed uint64) *lots { return &lots{seed: seed, calls: make(map[string]uint64)} }

func (l *lots) draw(op, key string) *rand.Rand {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := op + " " + key
	l.calls[name]++
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	_, _ = h.Write(strconv.AppendUint(nil, l.calls[name], 10))
	return rand.New(rand.NewPCG(l.seed, h.Sum64()))
}
