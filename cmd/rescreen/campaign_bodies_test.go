package main

import (
	"testing"
	"time"

	"rescreen/apiclient/amlsim"
	"rescreen/queue"
)

// hostileBody is what the API sends in the place of what it was asked for.
type hostileBody struct {
	name string
	call amlsim.Call
	when amlsim.When // beside the mark of the person
	do   amlsim.Action
	// What comes of the job: a result with this state of its report, or a
	// failure for this reason.
	report queue.ReportState
	reason queue.Reason
	// doubted: the session is created again, and flagged.
	doubted bool
	long    bool // in the full form only
}

func hostileBodies() []hostileBody {
	act := func(kind amlsim.ActionKind) amlsim.Action { return amlsim.Action{Kind: kind} }
	sized := func(kind amlsim.ActionKind, bytes int64) amlsim.Action {
		return amlsim.Action{Kind: kind, Bytes: bytes}
	}
	first, once := amlsim.When{SessionCall: 1}, amlsim.When{Times: 1}
	document, report, session := amlsim.CallDocument, amlsim.CallReport, amlsim.CallSession
	drip := amlsim.Action{Kind: amlsim.ActSlow, BytesPerSecond: 1}
	return []hostileBody{
		{name: "document without end", call: document, do: act(amlsim.ActEndless), reason: queue.ResultInvalid},
		{name: "document of 1 GB", call: document, do: sized(amlsim.ActHuge, 1<<30), reason: queue.ResultInvalid, long: true},
		{name: "document that is a gzip bomb", call: document, do: act(amlsim.ActGzipBomb), reason: queue.ResultInvalid},
		{name: "document 100,000 deep", call: document, do: act(amlsim.ActDeep), reason: queue.ResultInvalid},
		{name: "document of HTML", call: document, do: act(amlsim.ActHTML), reason: queue.ResultInvalid, long: true},
		{name: "document of noise", call: document, do: sized(amlsim.ActGarbage, 8<<20), reason: queue.ResultInvalid, long: true},
		{name: "document cut", call: document, do: sized(amlsim.ActTruncate, 100), reason: queue.ResultInvalid, long: true},
		{name: "document at a byte a second", call: document, when: first, do: drip, report: queue.ReportStored},
		{name: "report without end", call: report, do: act(amlsim.ActEndless), report: queue.ReportInvalid},
		{name: "report of 1 GB", call: report, do: sized(amlsim.ActHuge, 1<<30), report: queue.ReportInvalid, long: true},
		{name: "report just below the limit", call: report, do: sized(amlsim.ActGarbage, 32<<20), report: queue.ReportInvalid, long: true},
		{name: "report that is a gzip bomb", call: report, do: act(amlsim.ActGzipBomb), report: queue.ReportInvalid, long: true},
		{name: "report of HTML", call: report, do: act(amlsim.ActHTML), report: queue.ReportInvalid, long: true},
		{name: "report cut", call: report, do: sized(amlsim.ActTruncate, 1000), report: queue.ReportInvalid, long: true},
		{name: "report with too small a length", call: report, do: sized(amlsim.ActWrongLength, -1), report: queue.ReportInvalid},
		{name: "report with too large a length", call: report, do: sized(amlsim.ActWrongLength, 10), report: queue.ReportInvalid, long: true},
		{name: "report without signature", call: report, do: act(amlsim.ActUnsigned), report: queue.ReportStored, long: true},
		{name: "report at a byte a second", call: report, when: first, do: drip, report: queue.ReportStored, long: true},
		{name: "session without end", call: session, when: first, do: act(amlsim.ActEndless), report: queue.ReportStored, long: true},
		{name: "session that is a gzip bomb", call: session, when: first, do: act(amlsim.ActGzipBomb), report: queue.ReportStored, long: true},
		{name: "session 100,000 deep", call: session, when: first, do: act(amlsim.ActDeep), report: queue.ReportStored, long: true},
		{name: "session of HTML", call: session, when: first, do: act(amlsim.ActHTML), report: queue.ReportStored},
		{name: "creation without end", call: amlsim.CallCreate, when: once, do: act(amlsim.ActEndless), report: queue.ReportStored, doubted: true},
		{name: "token without end", call: amlsim.CallToken, when: once, do: act(amlsim.ActEndless), report: queue.ReportStored, long: true},
		{name: "token that is a gzip bomb", call: amlsim.CallToken, when: once, do: act(amlsim.ActGzipBomb), report: queue.ReportStored},
		{name: "token 100,000 deep", call: amlsim.CallToken, when: once, do: act(amlsim.ActDeep), report: queue.ReportStored, long: true},
		{name: "token of HTML", call: amlsim.CallToken, when: once, do: act(amlsim.ActHTML), report: queue.ReportStored, long: true},
		{name: "token at a byte a second", call: amlsim.CallToken, when: once, do: drip, report: queue.ReportStored, long: true},
		{name: "addresses without end", call: amlsim.CallDiscovery, when: once, do: act(amlsim.ActEndless), report: queue.ReportStored, long: true},
		{name: "addresses of HTML", call: amlsim.CallDiscovery, when: once, do: act(amlsim.ActHTML), report: queue.ReportStored, long: true},
		{name: "creation answered by HTML", call: amlsim.CallCreate, when: once, do: act(amlsim.ActHTML), report: queue.ReportStored, doubted: true, long: true},
	}
}

// Whatever the API sends instead of what it should: the job ends as the design
// says, those beside it do not notice, and the worker's memory grows by less
// than twice the largest body that is taken, however many come at a time.
//
//	RESCREEN_CAMPAIGN=full go test ./cmd/rescreen -run CampaignBodies -v
func TestCampaignBodies(t *testing.T) {
	besideOthers(t)
	n, others := 2, 6
	if fullCampaign() {
		n, others = 48, 1000 // a worker repeats one call for ten others
	}
	harmless := hostileBody{call: amlsim.CallAny, do: amlsim.Action{Kind: amlsim.ActHang, Wait: time.Millisecond}, report: queue.ReportStored}
	baseline := peakOfBodies(t, harmless, n, others)
	for _, body := range hostileBodies() {
		if body.long && !fullCampaign() {
			continue
		}
		t.Run(body.name, func(t *testing.T) {
			if !fullCampaign() {
				t.Parallel()
			}
			peak := peakOfBodies(t, body, n, others)
			t.Logf("%d at a time: peak of %d MiB, %+d MiB beyond that of good bodies", n, peak>>20, (peak-baseline)>>20)
			if grown := peak - baseline; !underRace && grown >= 2*maxBodies {
				t.Errorf("memory grew by %d MiB", grown>>20)
			}
		})
	}
}

// maxBodies is the limit of the largest kind of body, a report.
const maxBodies = 32 << 20

// peakOfBodies has a worker meet the body n times, among the jobs of others, and
// returns the most memory it held, in bytes.
func peakOfBodies(t *testing.T, body hostileBody, n, others int) int {
	t.Helper()
	if body.call != amlsim.CallToken && body.call != amlsim.CallDiscovery { // those are about nobody
		body.when.Marker = "Hostile"
	}
	s := newFaultSite(t, amlsim.Config{Faults: []amlsim.Fault{{Name: "hostile", Call: body.call, When: body.when, Do: body.do}}})
	var hostile, good []queue.Job
	for i := range n {
		hostile = append(hostile, customer("Hostile", i, true))
	}
	for i := range others {
		good = append(good, customer("Good", i, i%2 == 0))
	}
	s.submit(append(append(good[:others/2:others/2], hostile...), good[others/2:]...)...)
	w := s.worker("rescreen", s.server.Access().URL, s.api.URL, "--get-timeout", "3s")
	// What is to be repeated beyond a tenth of the calls waits for 20 s, perhaps
	// more than once.
	events := s.outcomes(150*time.Second, s.jobs...)
	if flagged := s.unharmed(events, good...); flagged > 0 {
		t.Errorf("%d of the others are flagged", flagged)
	}
	peak := peakMemory(t, w.cmd.Process.Pid)
	w.stop()
	doubted := 0
	for _, j := range hostile {
		r, err := events[j.ID].Result()
		if f, _ := events[j.ID].Failure(); body.reason != "" && f.Reason != body.reason || body.reason == "" && (err != nil || r.Report.State != body.report) {
			t.Errorf("%s: report %s, or failed for %s (%v)\n%s", j.ID, r.Report.State, f.Reason, err, w.tail())
		}
		if r.Report.Signature != nil && (*r.Report.Signature == "valid") == (body.do.Kind == amlsim.ActUnsigned) {
			t.Errorf("%s: signature %s", j.ID, *r.Report.Signature)
		}
		if r.PossibleDuplicate {
			doubted++
		}
		if sessions := s.sessionsOf(j); sessions > 1 && !r.PossibleDuplicate {
			t.Errorf("%s: %d sessions and no flag", j.ID, sessions)
		}
	}
	if (doubted > 0) != body.doubted {
		t.Errorf("%d jobs are flagged", doubted)
	}
	if s.sim.Stats().Faults["hostile"] == 0 {
		t.Error("nothing hostile was sent")
	}
	return peak
}
