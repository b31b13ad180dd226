package amlsim

import "time"

// Fate is what becomes of a session that does not simply end well.
type Fate string

// The fates; a fault can give them to a session at any of its calls, and
// Config.Fates to a share of all sessions from birth.
const (
	FateFail        Fate = "fail"         // the session and all its entities say FAILED from the time they were due
	FateExpire      Fate = "expire"       // entities become READY and are gone the same moment
	FateVanish      Fate = "vanish"       // the session is not found any more some time before it would be ready
	FateNever       Fate = "never"        // stays in progress for ever
	FateReportNever Fate = "report-never" // the document comes, the report never does
	FateReportFail  Fate = "report-fail"  // the document comes, the report says FAILED
)

// fateSet is a set of fates.
type fateSet uint8

const (
	fail fateSet = 1 << iota
	expire
	vanish
	never
	reportNever
	reportFail
)

// set returns the bit of a fate, 0 for an unknown one.
func (f Fate) set() fateSet {
	switch f {
	case FateFail:
		return fail
	case FateExpire:
		return expire
	case FateVanish:
		return vanish
	case FateNever:
		return never
	case FateReportNever:
		return reportNever
	case FateReportFail:
		return reportFail
	}
	return 0
}

func (f fateSet) has(one fateSet) bool { return f&one != 0 }

// born draws the fate of a new session.
func (f Fates) born(draw float64) fateSet {
	for _, fate := range [...]struct {
		share float64
		set   fateSet
	}{{f.Fail, fail}, {f.Expire, expire}, {f.Vanish, vanish}, {f.Never, never}, {f.ReportNever, reportNever}, {f.ReportFail, reportFail}} {
		if draw < fate.share {
			return fate.set
		}
		draw -= fate.share
	}
	return 0
}

// The status literals. The first three are documented.
const (
	statusNotStarted = "NOT_STARTED"
	statusInProgress = "IN_PROGRESS"
	statusReady      = "READY"
	statusFailed     = "FAILED" // assumed
)

// startsAfter is the part of the way to the document for which nothing has begun: 1/8.
const startsAfter = 8

// schedule is when what happens to a session, as time since the simulator was made.
type schedule struct {
	created, started, document, report, gone time.Duration
	vanished                                 time.Duration // 0: it does not
}

// scheduleOf computes the schedule; it is the same whenever it is asked for.
func (s *Simulator) scheduleOf(sess session) schedule {
	created := time.Duration(sess.created)
	person, ordinal := uint64(sess.person), uint64(sess.ordinal)
	toDocument := s.cfg.ReadyAfter.draw(bits(s.cfg.Seed, drawReady, person, ordinal))
	sch := schedule{created: created, started: created + toDocument/startsAfter, document: created + toDocument}
	sch.report = sch.document + s.cfg.ReportAfter.draw(bits(s.cfg.Seed, drawReport, person, ordinal))
	sch.gone = sch.document + s.cfg.Lifetime
	if sess.flags&reportOrdered != 0 {
		sch.gone = sch.report + s.cfg.Lifetime
	}
	if sess.fate.has(vanish) {
		part := share(bits(s.cfg.Seed, drawVanish, person, ordinal))
		sch.vanished = created + 1 + time.Duration(part*float64(toDocument))
	}
	return sch
}

// progress is what a session looks like at one moment.
type progress struct {
	missing          bool // the session is not found
	document, report string
	failed           bool // the session as a whole
	documentGone     bool // ready once, not to be had any more
	reportGone       bool
}

// progressAt tells how far the session is at a time since the simulator was made.
func (s *Simulator) progressAt(sess session, now time.Duration) progress {
	sch := s.scheduleOf(sess)
	ordered := sess.flags&reportOrdered != 0
	p := progress{document: entityStatus(now, sch.started, sch.document)}
	if ordered {
		p.report = entityStatus(now, sch.document, sch.report)
	}
	stays := sess.fate.has(never) || (ordered && sess.fate.has(reportNever))
	switch {
	case sch.vanished > 0 && now >= sch.vanished:
		return progress{missing: true}
	case now >= sch.gone && !stays:
		return progress{missing: true}
	case sess.fate.has(never):
		p.document, p.report = statusInProgress, ""
		if ordered {
			p.report = statusNotStarted
		}
		return p
	case sess.fate.has(fail) && now >= sch.document:
		p.failed, p.document = true, statusFailed
		if ordered {
			p.report = statusFailed
		}
		return p
	}
	if ordered {
		p.report = reportStatus(sess.fate, p.report)
	}
	lifetime := s.cfg.Lifetime
	if sess.fate.has(expire) {
		lifetime = 0
	}
	p.documentGone = p.document == statusReady && now >= sch.document+lifetime
	p.reportGone = p.report == statusReady && now >= sch.report+lifetime
	return p
}

func entityStatus(now, started, ready time.Duration) string {
	switch {
	case now >= ready:
		return statusReady
	case now >= started:
		return statusInProgress
	default:
		return statusNotStarted
	}
}

// reportStatus bends the status of a report to its fate.
func reportStatus(fate fateSet, status string) string {
	switch {
	case status == statusReady && fate.has(reportNever):
		return statusInProgress
	case status == statusReady && fate.has(reportFail):
		return statusFailed
	default:
		return status
	}
}
