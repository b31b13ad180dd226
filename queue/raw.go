package queue

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"rescreen/apiclient/personal"
)

// Raw is JSON whose values are kept as they are: numbers, escapes, double
// members. It usually speaks of a person, so it prints as "[redacted]".
type Raw []byte

// MarshalJSON implements json.Marshaler.
func (r Raw) MarshalJSON() ([]byte, error) {
	if len(r) == 0 {
		return []byte("null"), nil
	}
	return r, nil
}

// UnmarshalJSON implements json.Unmarshaler; it copies b.
func (r *Raw) UnmarshalJSON(b []byte) error {
	if r == nil {
		return errors.New("raw JSON into nil")
	}
	*r = append((*r)[:0], b...)
	return nil
}

// String hides the JSON.
func (r Raw) String() string {
	if len(r) == 0 {
		return ""
	}
	return personal.Redacted
}

// Format implements fmt.Formatter: no verb and no flag shows the JSON.
func (r Raw) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }

// LogValue implements slog.LogValuer.
func (r Raw) LogValue() slog.Value { return slog.StringValue(r.String()) }
