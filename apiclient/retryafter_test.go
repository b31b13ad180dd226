package apiclient

import (
	"context"
	"net/http"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	date := func(t time.Time) string { return t.Format(http.TimeFormat) }
	for _, tc := range []struct {
		name, value, date string
		want              time.Duration
		ok                bool
	}{
		{"none", "", "", 0, false},
		{"seconds", "7", "", 7 * time.Second, true},
		{"seconds and blanks", " 7 ", "", 7 * time.Second, true},
		{"now", "0", "", time.Second, true},
		{"an hour", "3600", "", maxRetryAfter, true},
		{"absurd", "99999999999999999999999999", "", maxRetryAfter, true},
		{"negative", "-5", "", 0, false},
		{"fraction", "1.5", "", 0, false},
		{"signed", "+5", "", 0, false},
		{"words", "soon", "", 0, false},
		{"date, our clock", date(now.Add(time.Minute)), "", time.Minute, true},
		{"date, their clock is an hour ahead", date(now.Add(time.Hour + time.Minute)), date(now.Add(time.Hour)), time.Minute, true},
		{"date, their clock is an hour behind", date(now.Add(time.Minute - time.Hour)), date(now.Add(-time.Hour)), time.Minute, true},
		{"date in the past", date(now.Add(-time.Minute)), date(now), time.Second, true},
		{"date in another century", date(now.AddDate(100, 0, 0)), date(now), maxRetryAfter, true},
		{"date with an unreadable Date", date(now.Add(time.Minute)), "yesterday", time.Minute, true},
		{"old date formats", now.Add(time.Minute).Format(time.RFC850), date(now), time.Minute, true},
		{"date that is none", "Mon, 99 Nov 2026 10:00:00 GMT", "", 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := http.Header{}
			h.Set("Retry-After", tc.value)
			h.Set("Date", tc.date)
			if got, ok := retryAfter(h, now); got != tc.want || ok != tc.ok {
				t.Errorf("%s, %t; want %s, %t", got, ok, tc.want, tc.ok)
			}
		})
	}
}

func TestThrottledCallsSayHowLong(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		headers []string
		want    time.Duration
	}{
		{nil, 0},
		{[]string{"Retry-After", "12"}, 12 * time.Second},
		{[]string{"Retry-After", now.Add(12 * time.Second).Format(http.TimeFormat), "Date", now.Format(http.TimeFormat)}, 12 * time.Second},
	} {
		fake := newFake()
		h := jsonAnswer(429, `{}`, tc.headers...)
		fake.create, fake.session = h, h
		c := fake.client(t)
		_, err := c.CreateSession(context.Background(), nil, testQuery())
		if e := wantKind(t, err, Throttled); e.RetryAfter != tc.want {
			t.Errorf("create: %s, want %s", e.RetryAfter, tc.want)
		}
		_, err = c.Session(context.Background(), nil, testRef)
		if e := wantKind(t, err, Throttled); e.RetryAfter != tc.want {
			t.Errorf("session: %s, want %s", e.RetryAfter, tc.want)
		}
	}
}
