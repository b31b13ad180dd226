package apiclient

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Quota is what a RateLimit header tells: how many calls are left until when.
// Nothing in it promises that they will be let through.
type Quota struct {
	Remaining int
	Reset     time.Duration // until there are more, above zero
}

// quota reads the RateLimit headers of an answer, the tightest if there are
// several: those of draft-ietf-httpapi-ratelimit-headers in its forms of today
// ("name";r=5;t=30) and of before (limit=9, remaining=5, reset=30), the three
// RateLimit-* headers of its first versions, and their X-RateLimit-*
// forerunners, whose reset may be a time in Unix seconds. What cannot be read
// counts as not given.
func quota(h http.Header, now time.Time) (Quota, bool) {
	var tightest Quota
	found := false
	consider := func(remaining, reset string) {
		q, ok := newQuota(remaining, reset, h, now)
		if ok && (!found || q.rate() < tightest.rate()) {
			tightest, found = q, true
		}
	}
	for _, prefix := range []string{"RateLimit-", "X-RateLimit-"} {
		consider(h.Get(prefix+"Remaining"), h.Get(prefix+"Reset"))
	}
	for _, field := range h.Values("RateLimit") {
		for _, policy := range quotaPolicies(field) {
			consider(policy.remaining, policy.reset)
		}
	}
	return tightest, found
}

func (q Quota) rate() float64 { return float64(q.Remaining) / q.Reset.Seconds() }

type quotaPolicy struct{ remaining, reset string }

// quotaPolicies takes a RateLimit field apart. Today its members are policies
// with parameters; before, the members themselves were the parameters of one.
func quotaPolicies(field string) []quotaPolicy {
	var all []quotaPolicy
	var flat quotaPolicy
	for _, member := range strings.Split(field, ",") {
		var p quotaPolicy
		for _, param := range strings.Split(member, ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
			switch name {
			case "r":
				p.remaining = value
			case "t":
				p.reset = value
			case "remaining":
				flat.remaining = value
			case "reset":
				flat.reset = value
			}
		}
		all = append(all, p)
	}
	return append(all, flat)
}

// unixSince tells a time in Unix seconds from a number of seconds: as the
// latter it would be thirty years.
const unixSince = 1_000_000_000

func newQuota(remaining, reset string, h http.Header, now time.Time) (Quota, bool) {
	r, err := strconv.ParseUint(strings.TrimSpace(remaining), 10, 31)
	if err != nil {
		return Quota{}, false
	}
	t, err := strconv.ParseUint(strings.TrimSpace(reset), 10, 40)
	if err != nil || t == 0 {
		return Quota{}, false
	}
	d := time.Duration(t) * time.Second
	if t >= unixSince {
		if sent, err := http.ParseTime(h.Get("Date")); err == nil {
			now = sent
		}
		d = time.Unix(int64(t), 0).Sub(now)
	}
	if d <= 0 {
		return Quota{}, false
	}
	return Quota{Remaining: int(r), Reset: min(d, maxRetryAfter)}, true
}
