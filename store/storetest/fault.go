package storetest

import "time"

// Names of the calls, for fault hooks.
const (
	OpLedgerLoad      = "ledger.load"
	OpLedgerCommit    = "ledger.commit"
	OpLedgerNext      = "ledger.next"
	OpWakesPark       = "wakes.park"
	OpWakesParked     = "wakes.parked"
	OpWakesOpen       = "wakes.open"
	OpWakesNext       = "wakes.next"
	OpWakesDue        = "wakes.due"
	OpOutcomesPublish = "outcomes.publish"
	OpOutcomesExists  = "outcomes.exists"
	OpEvidencePut     = "evidence.put"
	OpEvidenceGet     = "evidence.get"
	OpRegistersLoad   = "registers.load"
	OpRegistersCommit = "registers.commit"
	OpSignalsAnnounce = "signals.announce"
)

// Kind is what becomes of a call.
type Kind int

const (
	// OK: as it should be.
	OK Kind = iota
	// Lost: a write is not applied and answered by an error; a read by an error.
	Lost
	// Unsure: a write is applied and answered by an error; a read is Lost.
	Unsure
	// Late: a write is answered by an error and applied after Delay, if its
	// comparison holds then; a read is Lost. A publish that was given up can do this.
	Late
	// Slow: applied and answered after Delay. If ctx ends first a write is applied at that
	// moment, and answered by the error of ctx.
	Slow
	// Conflict: a write is answered by store.ErrConflict and not applied; a read is Lost.
	// The caller of a commit sees this when its write was stored and replaced
	// before it could be read back. Other writes never return it and are Lost.
	Conflict
	// Stale: a read is answered from the state before the last write to what it
	// asks for; a write is OK. A deposed leader does this.
	Stale
	// Overtaken: a Park is answered as if all were well, but the attempt's wake-up before
	// it fires in the same moment and purges it: a due message older than what was parked
	// last. Any other call, and the first Park of an attempt, is OK.
	Overtaken
	// Twice: a write is applied and answered, and once more applied after Delay, if its
	// comparison holds then: a repetition that was still under way. A read is OK.
	Twice
	// Stuck: a Park is answered as if all were well, but the wake-up never fires, and
	// stays. Any other call is OK.
	Stuck
	// repeated is what the second of the two writes is told.
	repeated
)

// Fault is what a hook orders for one call.
type Fault struct {
	Kind  Kind
	Delay time.Duration // of Late, Slow and Twice
}
