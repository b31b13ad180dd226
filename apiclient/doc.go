// Package apiclient speaks to BankID AML's Person Async Session API: it gets a
// token, creates a session, asks how far the session is, and fetches the JSON
// document and the signed PDF report.
//
// Each method makes one call and reports what the answer means. Waiting,
// repeating and limiting the rate are the caller's: the client itself repeats
// a call only once, after a 401, with a new token.
//
// # What an error says
//
// Every error is an [*Error] with a [Kind], and the kind is the whole message
// to the caller: what it may conclude and do. The one that costs money is
// [Unknown]. A creation has no idempotency key and every session may be
// billed, so [Client.CreateSession] says [NotSent], or a kind that stands for
// an answer, only where nothing can have been created, and [Unknown] in every
// other case.
//
// # What is assumed
//
// The API's reference is not public. Where the documentation is silent the
// client follows one reading, and each of these readings is a field of
// [Profile], changeable from a YAML file; see [Profile.Assumed].
//
// # Personal data
//
// No URL, error or log line of this package holds personal data. Text from
// error answers is kept, masked and bounded, in [Error.Message], which
// [Error.Error] does not print.
package apiclient
