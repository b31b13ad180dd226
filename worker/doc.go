// Package worker is the heart of rescreen: it takes a job through its life,
// one short step at a time, and loses nothing when it dies between two steps.
//
// # The life of a job
//
//	queued ─▶ creating ─▶ waiting ─▶ done
//	   │          │           ├────▶ failed(reason)
//	   │          │           └─ expired ─▶ queued, then creating again (at most 2 more, counted)
//	   │          ├─ refused ──────▶ failed(reason)
//	   │          ├─ not created ──▶ queued again at a time (429, connection never made)
//	   │          └─ unknown ──────▶ creating again, flagged possible_duplicate (at most 3 more),
//	   │                             or failed(create_unknown), by setting
//	   └─ invalid ─────────────────▶ failed(invalid_job)
//
// The legal transitions are the table in record.go; the steps that make them
// are the functions of life.go, poll.go and create.go, each started by one
// message: a job message, or a wake-up that has come due.
//
// # Waiting costs nothing
//
// Between two polls a job is one state record and one scheduled message at
// the server: no goroutine, no unacknowledged message, no memory here. Any
// worker can take any step, and one that dies takes nothing with it.
//
// # Guarantees
//
//   - The record decides. Every change of a record is a compare-and-set on its
//     stream sequence; acknowledgements are hygiene.
//   - The intent to create a session is committed before the call, the session
//     id right after it, so every billed call has left its trace.
//   - A session is created again only when the earlier call provably created
//     none, when the earlier session's results have perished (counted), or
//     flagged as a possible duplicate.
//   - Evidence is stored before the record says done, the record says done
//     before the result is published, and the message is acknowledged last. A
//     repetition publishes from record and evidence; the event lands once.
//   - A failed screening is a result of the job and is published as a failure;
//     a failed call is an error and is tried again.
//   - Nothing personal stands in a log, an error, a metric, a span, a subject or a key.
//
// # The limits of the fleet
//
// One record holds the limits of an upstream ([Limits]). Workers lease
// departure times from it by compare-and-set, each for one call: a call goes
// out at its time or shortly after, or asks for another. How long a call may be late
// is what the burst is for (budget.go), so that in every window w at most
// rate × w + burst calls reach the API, whoever makes them. What is decided
// about the record is a pure function of the record, the server's time and what a
// worker wants (limits.go) or has been told (answers.go, adapt.go); the limiter
// (limiter.go, limiter_loop.go) only carries it out.
//
// Creations get their permits ahead, so that the job can be pulled and the
// intent written before the call's time; every call gets its departure when it
// is ready to go, asked for by the client right before it sends.
//
// # What runs
//
// [Worker.Run] turns two loops, one over due wake-ups and one over jobs, fair
// to all batches. Each takes a slot, for a new job a permit, then a message, and
// starts the step in a goroutine it waits for. New jobs may hold half of the
// slots, creates three quarters, polls and fetches all of them. The limiter's loop
// leases for all who wait. settle is the one place
// where the end of a step becomes an acknowledgement or a delay. The repair
// looks, slowly, for records that nothing will take any further, and parks a
// wake-up for them.
//
// # What is told
//
// When a step is settled, observe makes three things of it: a count and a measure
// ([Metrics]), one line in the log, and the end of its span. All three name it by what
// it did (its kind) and how it ended (its outcome). What took longer than a step, like
// the time in the queue, is measured when the record tells of it, at the commit.
package worker
