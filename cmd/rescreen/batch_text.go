package main

import "time"

// timeText writes a time for a person: in UTC, like everything in the logs and
// files that it is compared with.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}
