// Package store remembers: the record of each job, its next wake-up, its
// outcome, the evidence behind it, and the registers of the fleet's limits,
// all in JetStream. It speaks bytes and its own [Key] and knows no schema.
//
// # What decides
//
// The record decides. [Ledger.Commit] is a compare-and-set on the stream
// sequence of the record, and the only fence there is: acknowledgements are
// not one (the server accepts a late one from a worker that lost its message),
// and neither are reads (a server that was deposed as leader and does not know
// it yet answers with an older record). So a read is a hint, and only a write
// that was accepted, or a read that shows one's own op id, says what is.
//
// # Unclear writes
//
// A publish that timed out may have been stored, may be stored later, or never.
// Every write of this package is therefore made so that it can be repeated
// until the server has given a definite answer:
//
//   - a record or register carries an op id, fresh for each Commit and the same
//     for its repetitions, and is read back after every unclear answer;
//   - a wake-up and a piece of evidence replace themselves, one message per subject;
//   - an outcome is accepted once, by expected sequence 0, and "is there" is success.
//
// Methods repeat by themselves until ctx ends. An error that wraps the error of
// ctx therefore means "outcome unknown". Give every call a deadline.
//
// The package needs a connection without a reconnect buffer
// (nats.ReconnectBufSize(-1)): with one, a write could leave the client
// after its caller had given up on it.
package store
