package worker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"rescreen/queue"
)

// check holds what is left after a trial against the laws.
func (c *simulation) check() {
	c.watch.mu.Lock()
	for _, p := range c.watch.problems {
		c.t.Error(p)
	}
	c.watch.mu.Unlock()
	out := c.published()
	for _, j := range c.jobs {
		c.checkOutcomes(j, out[j.ID])
		c.checkSessions(j, out[j.ID])
	}
	if len(out) != len(c.jobs) {
		c.t.Errorf("outcomes of %d jobs, queued were %d", len(out), len(c.jobs))
	}
	if departures, calls := c.meter.departures(), c.meter.calls.Load(); calls > departures {
		c.t.Errorf("%d departures for %d calls", departures, calls)
	}
	c.checkPrivacy("Testbruker", "1980-02-29")
}

// checkOutcomes: each attempt that began has one outcome, and it says what record
// and evidence say.
func (c *simulation) checkOutcomes(j queue.Job, out map[int]queue.Event) {
	last := 1
	if _, ok := out[2]; ok {
		last = 2
	}
	first, hasFirst := out[1]
	for attempt := 1; attempt <= 2; attempt++ {
		if _, ok := out[attempt]; !ok && c.watch.began[fmt.Sprintf("b.%s.%d", j.ID, attempt)] {
			c.t.Errorf("%s: attempt %d began and has no outcome", j.ID, attempt)
		}
	}
	switch {
	case c.again[j.ID] && last == 1 && first.Type == queue.TypeFailed:
		c.t.Errorf("%s failed and was queued again, without an outcome of the second attempt", j.ID)
	case last == 2 && hasFirst && first.Type == queue.TypeCompleted:
		c.t.Errorf("%s was screened again after a result", j.ID)
	}
	rec, err := c.record(j)
	if err != nil || rec.Attempt != last || !rec.State.terminal() {
		c.t.Errorf("%s: record is %s of attempt %d, %v", j.ID, rec.State, rec.Attempt, err)
		return
	}
	if rec.State == Done != (out[last].Type == queue.TypeCompleted) {
		c.t.Errorf("%s: record is %s and the outcome %s", j.ID, rec.State, out[last].Type)
	}
	for _, e := range out {
		if r, err := e.Result(); err == nil {
			c.checkEvidence(j, r)
		}
		if f, err := e.Failure(); err == nil && f.Reason == queue.InternalError {
			c.t.Errorf("%s: given up though everything passes: %s", j.ID, *f.Message)
		}
	}
}

// checkEvidence: done means that the bytes are there.
func (c *simulation) checkEvidence(j queue.Job, r queue.Result) {
	if problem := listed(r); problem != "" {
		c.t.Errorf("%s: %s", j.ID, problem)
	}
	for _, e := range r.Evidence {
		data, err := c.store.Evidence.Get(context.Background(), e.SHA256)
		sum := sha256.Sum256(data)
		if err != nil || hex.EncodeToString(sum[:]) != e.SHA256 || int64(len(data)) != e.Bytes {
			c.t.Errorf("%s: evidence of the %s: %v", j.ID, e.Kind, err)
		}
		var kept, carried any
		if e.Kind == queue.EvidenceDocument && (json.Unmarshal(data, &kept) != nil || json.Unmarshal(r.Document, &carried) != nil || !reflect.DeepEqual(kept, carried)) {
			c.t.Errorf("%s: the document of the result is not the one in evidence", j.ID)
		}
	}
	if (r.Report.State == queue.ReportNotOrdered) == j.Report {
		c.t.Errorf("%s: report ordered %v, state %s", j.ID, j.Report, r.Report.State)
	}
}

// listed says what is wrong with the evidence that a result lists: the document,
// and the report if it is stored, and nothing else.
func listed(r queue.Result) string {
	want := map[string]int{queue.EvidenceDocument: 1}
	if r.Report.State == queue.ReportStored {
		want[queue.EvidenceReport] = 1
	}
	got := make(map[string]int)
	for _, e := range r.Evidence {
		if got[e.Kind]++; e.Kind == queue.EvidenceDocument && e.SHA256 != r.DocumentSHA256 {
			return "the document in evidence is another"
		}
	}
	if !maps.Equal(got, want) {
		return fmt.Sprintf("evidence is %v, want %v", got, want)
	}
	return ""
}

// checkSessions: every session at the API has a reason that is on record, and
// what nobody knows for certain is flagged.
func (c *simulation) checkSessions(j queue.Job, out map[int]queue.Event) {
	sum := Counters{}
	attempts, given := 0, 0
	for _, e := range out {
		if f, err := e.Failure(); err == nil && f.Reason == queue.ResultExpired {
			given++ // up: its last expiry was not followed by another session
		}
		n := countersOf(e)
		attempts++
		sum.SessionsCreated += n.SessionsCreated
		sum.Recreations += n.Recreations
		sum.Expiries += n.Expiries
		sum.PossibleDuplicate = sum.PossibleDuplicate || n.PossibleDuplicate
	}
	there := c.sessionsOf(j)
	if there > attempts+sum.Recreations+sum.Expiries {
		c.t.Errorf("%s: %d sessions in %d attempts with %+v", j.ID, there, attempts, sum)
	}
	if there > sum.SessionsCreated && !sum.PossibleDuplicate {
		c.t.Errorf("%s: %d sessions, no flag, %+v", j.ID, there, sum)
	}
	if c.trial.peaceful && (there != attempts+sum.Expiries-given || sum.PossibleDuplicate) {
		c.t.Errorf("%s: %d sessions in %d attempts with %+v, though every creation was answered", j.ID, there, attempts, sum)
	}
	if there < sum.SessionsCreated {
		c.t.Errorf("%s: %d sessions, and %+v", j.ID, there, sum)
	}
}

func countersOf(e queue.Event) Counters {
	if r, err := e.Result(); err == nil {
		return Counters{SessionsCreated: r.SessionsCreated, Recreations: r.Recreations, Expiries: r.Expiries, PossibleDuplicate: r.PossibleDuplicate}
	}
	f, _ := e.Failure()
	return Counters{SessionsCreated: f.SessionsCreated, Recreations: f.Recreations, Expiries: f.Expiries, PossibleDuplicate: f.PossibleDuplicate}
}

// checkPrivacy: law 9. The words stand in no log line, no metric and no span.
func (w *world) checkPrivacy(words ...string) {
	places := map[string]string{"the log": w.log.String(), "the metrics": fmt.Sprint(w.gather())}
	if w.spans != nil {
		places["the spans"] = fmt.Sprint(tracetest.SpanStubsFromReadOnlySpans(w.spans.Ended()))
	}
	for place, text := range places {
		for _, word := range words {
			if n := strings.Count(text, word); n > 0 {
				w.t.Errorf("%d times in %s: %s", n, place, word)
			}
		}
	}
}
