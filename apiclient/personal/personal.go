// Package personal holds the type for text about a person.
//
// Names, birth dates and national identity numbers pass through the whole
// program, and none of them may reach a log, an error or a metric. A value of
// type [Text] takes care of that by itself: whatever prints it prints
// [Redacted], and only JSON, the wire format of jobs and of the API, carries
// the true value.
package personal

import (
	"fmt"
	"log/slog"
)

// Redacted is what stands in the place of personal data wherever it is printed.
const Redacted = "[redacted]"

// Text is a string about a person. The zero value is "not given" and prints
// as the empty string, so that a missing member can be told from a hidden one.
//
// Text marshals to its true value in JSON. Logging it by reflection
// (zap.Any, zap.Reflect) would therefore show it; a test of the module forbids
// both.
type Text string

// Reveal returns the true value. Each call is a place where personal data
// leaves the type's protection: it belongs next to the wire, nowhere else.
func (t Text) Reveal() string { return string(t) }

// String returns [Redacted], or "" if t is empty.
func (t Text) String() string {
	if t == "" {
		return ""
	}
	return Redacted
}

// Format implements fmt.Formatter: no verb and no flag shows the true value.
func (t Text) Format(f fmt.State, verb rune) {
	_, _ = fmt.Fprint(f, t.String())
}

// LogValue implements slog.LogValuer.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }
