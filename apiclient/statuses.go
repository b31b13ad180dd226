package apiclient

import (
	"net/http"
	"slices"
)

// createKind says what a status that is no success means for a creation.
// Unknown unless the profile calls the status proof that nothing was created.
func (s Statuses) createKind(status int, hasRetryAfter bool) Kind {
	busy := hasRetryAfter && slices.Contains(s.Busy, status)
	if !busy && !slices.Contains(s.NotCreated, status) {
		return Unknown
	}
	switch {
	case busy, status == http.StatusTooManyRequests:
		return Throttled
	case isDenied(status):
		return Denied
	case status == http.StatusMisdirectedRequest, status == http.StatusTooEarly:
		return NotSent // by definition not begun, and worth another try
	case slices.Contains(s.Refused, status):
		return Refused
	}
	return Misconfigured
}

// readKind says what a status other than 200 means for a GET. 404 and 410 mean
// that an entity is gone; of an address without a session in it they say that
// the address is wrong.
func (s Statuses) readKind(status int, hasRetryAfter, entity bool) Kind {
	switch {
	case status == http.StatusTooManyRequests, hasRetryAfter && slices.Contains(s.Busy, status):
		return Throttled
	case isDenied(status):
		return Denied
	case entity && slices.Contains(s.NotReady, status):
		return NotReady
	case entity && slices.Contains(s.Gone, status):
		return Gone
	case slices.Contains(s.Refused, status):
		return Refused
	case status >= http.StatusInternalServerError, status == http.StatusRequestTimeout:
		return Unavailable
	case isStatus2xx(status):
		return Invalid
	}
	return Misconfigured
}

// isDenied holds the statuses that speak about us and not about the query:
// no token, no right, no payment, no way past the proxy.
func isDenied(status int) bool {
	return slices.Contains([]int{
		http.StatusUnauthorized, http.StatusForbidden,
		http.StatusPaymentRequired, http.StatusProxyAuthRequired,
	}, status)
}
