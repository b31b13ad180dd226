// Package queue is what flows: jobs on their way in, results and failures on
// their way out, and the JetStream consumers that hand jobs to workers.
//
// A [Job] is decoded strictly, because a member that is not understood may
// change what is bought; an [Event] is decoded leniently, because events only
// ever gain members. Package queue/schema publishes both as JSON Schemas.
//
// Everything here speaks of people. Types whose values may hold personal data
// print as "[redacted]", and no error of this package holds any.
package queue
