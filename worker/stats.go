package worker

import (
	"sync/atomic"
)

// counts is what this process has done since it started.
type counts struct {
	created, notCreated, unknowns, recreations, orphans atomic.Int64
	polls, fetches, evidenceBytes                       atomic.Int64
	done, failed                                        atomic.Int64
	commits, conflicts                                  atomic.Int64
	acked, returned                                     atomic.Int64
}

// Stats is a reading of what a worker has done since it started.
type Stats struct {
	Created     int64 // sessions the API has created for this worker
	NotCreated  int64 // create calls that provably created none
	Unknowns    int64 // create calls of unknown outcome
	Recreations int64 // sessions created again after one
	Orphans     int64 // sessions created for a job that had gone on
	Polls       int64
	Fetches     int64 // of documents and reports
	Evidence    int64 // bytes stored
	Done        int64 // results published
	Failed      int64 // failures published
	Commits     int64
	Conflicts   int64 // commits that lost against another worker's
	Acked       int64 // messages whose step has ended
	Returned    int64 // messages given back for later
	Leases      int64 // of departure times
	LeaseTries  int64 // compare-and-sets made for them
	Late        int64 // departures that were missed, and asked for again
}

// Stats returns a reading; it may be called at any time.
func (w *Worker) Stats() Stats {
	c, l := &w.counts, &w.limiter.counts
	return Stats{
		Created: c.created.Load(), NotCreated: c.notCreated.Load(), Unknowns: c.unknowns.Load(),
		Recreations: c.recreations.Load(), Orphans: c.orphans.Load(),
		Polls: c.polls.Load(), Fetches: c.fetches.Load(), Evidence: c.evidenceBytes.Load(),
		Done: c.done.Load(), Failed: c.failed.Load(),
		Commits: c.commits.Load(), Conflicts: c.conflicts.Load(),
		Acked: c.acked.Load(), Returned: c.returned.Load(),
		Leases: l.leases.Load(), LeaseTries: l.tries.Load(), Late: l.late.Load(),
	}
}

func (c *counts) ended(rec Record) {
	if rec.State == Done {
		c.done.Add(1)
	} else {
		c.failed.Add(1)
	}
}

func (c *counts) settled(e ending) {
	if e.ack {
		c.acked.Add(1)
	} else {
		c.returned.Add(1)
	}
}
