package apiclient

import (
	"net/http"
	"strconv"
	"testing"
	"time"
)

func TestQuota(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name    string
		headers []string
		want    Quota
		ok      bool
	}{
		{"none", nil, Quota{}, false},
		{"three headers", []string{"RateLimit-Limit", "100", "RateLimit-Remaining", "7", "RateLimit-Reset", "30"}, Quota{7, 30 * time.Second}, true},
		{"their forerunners", []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "30"}, Quota{0, 30 * time.Second}, true},
		{"a time in Unix seconds", []string{"X-RateLimit-Remaining", "3", "X-RateLimit-Reset", strconv.FormatInt(now.Add(time.Minute).Unix(), 10)}, Quota{3, time.Minute}, true},
		{"a time by their clock", []string{"X-RateLimit-Remaining", "3", "X-RateLimit-Reset", strconv.FormatInt(now.Add(time.Hour).Unix(), 10), "Date", now.Add(time.Hour - time.Minute).Format(http.TimeFormat)}, Quota{3, time.Minute}, true},
		{"a time that has passed", []string{"X-RateLimit-Remaining", "3", "X-RateLimit-Reset", strconv.FormatInt(now.Add(-time.Minute).Unix(), 10)}, Quota{}, false},
		{"one field of today", []string{"RateLimit", `"default";r=50;t=30`}, Quota{50, 30 * time.Second}, true},
		{"the tightest of several", []string{"RateLimit", `"burst";r=10;t=1, "daily";r=50;t=600`}, Quota{50, 10 * time.Minute}, true},
		{"one field of before", []string{"RateLimit", "limit=100, remaining=50, reset=5"}, Quota{50, 5 * time.Second}, true},
		{"a day", []string{"RateLimit-Remaining", "7", "RateLimit-Reset", "86400"}, Quota{7, maxRetryAfter}, true},
		{"no reset", []string{"RateLimit-Remaining", "7"}, Quota{}, false},
		{"reset now", []string{"RateLimit-Remaining", "7", "RateLimit-Reset", "0"}, Quota{}, false},
		{"negative", []string{"RateLimit-Remaining", "-1", "RateLimit-Reset", "30"}, Quota{}, false},
		{"words", []string{"RateLimit-Remaining", "many", "RateLimit-Reset", "soon"}, Quota{}, false},
		{"beyond all numbers", []string{"RateLimit-Remaining", "99999999999999999999", "RateLimit-Reset", "99999999999999999999"}, Quota{}, false},
		{"no members", []string{"RateLimit", ";;,=,r=,t"}, Quota{}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := http.Header{}
			for i := 0; i < len(tc.headers); i += 2 {
				h.Set(tc.headers[i], tc.headers[i+1])
			}
			if got, ok := quota(h, now); got != tc.want || ok != tc.ok {
				t.Errorf("%+v, %t; want %+v, %t", got, ok, tc.want, tc.ok)
			}
		})
	}
}

func FuzzQuota(f *testing.F) {
	f.Add(`"default";r=50;t=30`, "7", "30")
	f.Add("limit=100, remaining=50, reset=5", "", "1764000000")
	f.Fuzz(func(t *testing.T, field, remaining, reset string) {
		h := http.Header{"Ratelimit": {field}, "X-Ratelimit-Remaining": {remaining}, "X-Ratelimit-Reset": {reset}}
		if q, ok := quota(h, time.Now()); ok && (q.Remaining < 0 || q.Reset <= 0 || q.Reset > maxRetryAfter) {
			t.Errorf("%+v", q)
		}
	})
}
