package worker

import (
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"rescreen/apiclient"
	"rescreen/queue"
)

// stepKind is what a step did. Of several things it did the last in this list
// counts; a step of a job message is one of intake whatever it did, unless it only
// repeated an outcome.
type stepKind int

const (
	otherStep   stepKind = iota // none of these: it parked a wake-up, or there was nothing to do
	publishStep                 // repeated an outcome
	intakeStep                  // took in a job message
	pollStep                    // asked about a session that is not ready
	createStep                  // created a session, of a job that had waited
	fetchStep                   // found a session ready, or fetched from it
	stepKinds                   // how many there are
)

// String returns the kind as logs, metrics and spans name it.
func (k stepKind) String() string {
	switch k {
	case otherStep:
		return "other"
	case publishStep:
		return "publish"
	case intakeStep:
		return "intake"
	case pollStep:
		return "poll"
	case createStep:
		return "create"
	case fetchStep:
		return "fetch"
	}
	return fmt.Sprintf("step %d", int(k))
}

// stepOutcomes are those of endingOf.
var stepOutcomes = []string{stepDone, "stopped", "stale", "earlier", "suspect", "newer_state", "rejected", "conflict", "trouble"}

const stepDone = "done"

// observation is what is told of a step when it is settled.
type observation struct {
	began  time.Time     // when its message was taken
	ofJob  bool          // it was started by a job message
	most   stepKind      // of what it did
	waited time.Duration // for a permit to create, so far

	session   apiclient.SessionID
	state     State     // of the record, as last seen; none if it was not
	ended     bool      // this step has ended the job
	published *Record   // whose outcome it published
	callErr   error     // of its last call to the API that brought nothing
	next      time.Time // when the wake-up is due that it has parked

	span   trace.Span // nil if nothing is traced
	origin string     // trace context of the job
}

// did notes what the step does.
func (s *step) did(k stepKind) { s.most = max(s.most, k) }

func (s *step) kind() stepKind {
	if s.ofJob && s.most != publishStep {
		return intakeStep
	}
	return s.most
}

// observe makes of a settled step a count and a measure, a line in the log, and the
// end of its span. again is when its message comes again.
func (w *Worker) observe(s *step, e ending, again time.Duration, err error) {
	kind, took := s.kind(), time.Since(s.began)
	w.metrics.step(kind, e.outcome, took)
	w.lines.write(s, kind, e, again, took, err)
	s.endSpan(kind, e)
}

// stepLines lines of the same message are written in a second, then one in as many. By
// default a fleet makes 30 calls in a second at most, burst included, and a poll makes
// one, so that a worker comes near it only where limits are far higher, or in a flood.
const stepLines = 100

// stepLog writes one line for each settled step. Under a storm lines that
// say the same are left out; the next of them says how many. What is a warning or
// worse is always written, and so is what ends a job.
type stepLog struct {
	log, sampled *zap.Logger

	mu      sync.Mutex
	omitted map[string]int // by message
}

func newStepLog(log *zap.Logger) *stepLog {
	l := &stepLog{log: log, omitted: make(map[string]int)}
	l.sampled = log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Second, stepLines, stepLines, zapcore.SamplerHook(l.decided))
	}))
	return l
}

// decided counts the lines that are left out.
func (l *stepLog) decided(e zapcore.Entry, d zapcore.SamplingDecision) {
	if d&zapcore.LogDropped != 0 {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.omitted[e.Message]++
	}
}

// leftOut returns how many lines were left out since the last one, and forgets it.
func (l *stepLog) leftOut(message string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.omitted[message]
	delete(l.omitted, message)
	return n
}

// write writes the line of a step: no hit, no person.
func (l *stepLog) write(s *step, kind stepKind, e ending, again, took time.Duration, err error) {
	// The message is what lines are sampled by: what is unusual has one of its own.
	message := kind.String() + " " + e.outcome
	if s.callErr != nil {
		message += ", call failed"
	}
	if s.published != nil && s.published.State == Failed {
		message += ", job failed"
	}
	log := l.sampled
	if e.level > zapcore.InfoLevel || s.ended {
		log = l.log
	}
	line := log.Check(e.level, message)
	if line == nil {
		return
	}
	fields := append(make([]zap.Field, 0, 16),
		zap.Stringer("kind", kind), zap.String("outcome", e.outcome),
		zap.String("batch", s.key.Batch), zap.String("job", s.key.Job), zap.Int("attempt", s.attempt),
		zap.Duration("took", took))
	if !e.ack {
		fields = append(fields, zap.Error(err), zap.Duration("again_in", again))
	}
	if s.callErr != nil {
		fields = append(fields, zap.NamedError("call_error", s.callErr))
	}
	if !s.next.IsZero() {
		fields = append(fields, zap.Time("next", s.next))
	}
	if s.published != nil {
		fields = append(fields, outcomeFields(*s.published)...)
	}
	if id := s.traceID(); id != "" {
		fields = append(fields, zap.String("trace_id", id))
	}
	if n := l.leftOut(message); n > 0 {
		fields = append(fields, zap.Int("omitted", n))
	}
	line.Write(fields...)
}

// outcomeFields is what a log line may say about an outcome: no hit, no person.
func outcomeFields(rec Record) []zap.Field {
	fields := []zap.Field{zap.String("state", string(rec.State)), zap.Int("polls", rec.Polls), zap.Int("sessions_created", rec.SessionsCreated)}
	if rec.Failure != nil {
		fields = append(fields, zap.String("reason", string(rec.Failure.Reason)))
	}
	if rec.Report != nil && rec.Report.State != queue.ReportNotOrdered {
		fields = append(fields, zap.String("report", string(rec.Report.State)))
	}
	return fields
}
