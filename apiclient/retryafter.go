package apiclient

import (
	"net/http"
	"strings"
	"time"
)

// What a server may make us wait. One second at least, so that "now" is not
// read as "did not say"; a quarter of an hour at most, so that an absurd
// figure or a wrong clock cannot close the gate for the night: after a longer
// maintenance the next call asks again.
const (
	minRetryAfter = time.Second
	maxRetryAfter = 15 * time.Minute
)

// retryAfter reads Retry-After, seconds or an HTTP date. A date is judged
// against the answer's own Date, since only that has the same clock; now is
// the fallback. A value that is neither counts as not given.
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if value == "" {
		return 0, false
	}
	if d, ok := retrySeconds(value); ok {
		return min(max(d, minRetryAfter), maxRetryAfter), true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	if sent, err := http.ParseTime(h.Get("Date")); err == nil {
		now = sent
	}
	return min(max(at.Sub(now), minRetryAfter), maxRetryAfter), true
}

// retrySeconds reads whole seconds. Nine digits are thirty years; more need no
// reading, and cannot overflow.
func retrySeconds(s string) (time.Duration, bool) {
	var seconds int64
	for i, r := range s {
		if r < '0' || r > '9' {
			return 0, false
		}
		if i < 9 {
			seconds = seconds*10 + int64(r-'0')
		} else {
			seconds = int64(maxRetryAfter / time.Second)
		}
	}
	return time.Duration(seconds) * time.Second, true
}
