package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"rescreen/apiclient/amlsim"
	"rescreen/worker"
)

// Where no session may be begun none is, and the reason is said.
func TestDoctorLiveRefuses(t *testing.T) {
	t.Parallel()
	later := time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		wreck  func(*doctorSite)
		status status
		found  string
	}{
		"prod, says the issuer": {func(s *doctorSite) {
			s.answering(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "/openid-configuration") {
					return false
				}
				issuer := s.api.URL + amlsim.RealmPath
				_, _ = io.WriteString(w, `{"issuer":"`+issuer+`","token_endpoint":"`+issuer+`/protocol/openid-connect/token","aml-baseurl":"https://aml.bankidapis.no"}`)
				return true
			})
		}, statusFail, "aml.bankidapis.no, which is prod"},
		"a closed gate": {func(s *doctorSite) {
			s.limits(func(l *worker.Limits) { l.Gate = worker.Gate{Until: later, Why: worker.Verdict("throttled"), By: "w"} })
		}, statusFail, "no calls until 2040-01-01 00:00:00 UTC: throttled"},
		"unknown outcomes": {func(s *doctorSite) {
			s.limits(func(l *worker.Limits) { l.Doubt = worker.Doubt{Unknowns: 3, ClosedAt: time.Now(), Until: later} })
		}, statusFail, "3 in a row had an unknown outcome"},
		"a rate below the one that is set": {func(s *doctorSite) {
			s.limits(func(l *worker.Limits) { l.Requests.Share = 0.1 })
		}, statusOK, "created"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			site := newDoctorSite(t, &server.Options{}, amlsim.Config{})
			sim := amlsim.New(amlsim.Config{ReadyAfter: amlsim.Fixed(20 * time.Millisecond)})
			site.api.Config.Handler = sim
			c.wreck(site)
			d, cmd := site.doctor("--live", "--poll-first", "20ms")
			l, err := cmd.live(d)
			must(t, err)
			if !strings.HasPrefix(name, "prod") { // the other checks would speak to prod
				d.examine(t.Context())
			}
			f := named(t, l.examine(t.Context(), nil), "live-create")
			if f.Status != c.status || !strings.Contains(f.Found, c.found) || f.Status == statusFail && f.Do == "" {
				t.Errorf("%+v, want %s, %q", f, c.status, c.found)
			}
			if n := sim.Stats().Sessions; (n > 0) != (c.status == statusOK) {
				t.Errorf("%d sessions were created", n)
			}
		})
	}
}

// Whoever interrupts --live is told what it has left: a creation that was sent is
// waited for, and what was found is printed.
func TestDoctorLiveInterrupted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		at       string // the method of the call of the API that is interrupted
		answer   int    // to the creation; 0: as the API does
		create   string
		left     string
		sessions int
	}{
		"before the creation": {at: "token", create: "unknown  live-create            not tried: interrupted\n"},
		"in the creation":     {at: http.MethodPost, create: "ok       live-create            created: status 201", left: "a session was created, and may be billed", sessions: 1},
		"in one that is lost": {at: http.MethodPost, answer: 502, create: "fail     live-create            unknown whether it was created", left: "a session may have been created, and be billed"},
		"after the creation":  {at: http.MethodGet, create: "ok       live-create            created: status 201", left: "a session was created, and may be billed", sessions: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			site := newDoctorSite(t, &server.Options{}, amlsim.Config{})
			sim := amlsim.New(amlsim.Config{})
			site.api.Config.Handler = sim
			ctx, cancel := context.WithCancel(t.Context())
			var tokens atomic.Int32
			site.answering(func(w http.ResponseWriter, r *http.Request) bool {
				session := strings.Contains(r.URL.Path, "/session/")
				if strings.HasSuffix(r.URL.Path, "/token") {
					if tokens.Add(1) == 2 && c.at == "token" { // the first is that of the other checks
						cancel()
					}
				}
				if !session || r.Method != c.at {
					return false
				}
				cancel()
				if c.answer != 0 {
					w.WriteHeader(c.answer)
				}
				return c.answer != 0
			})
			d, cmd := site.doctor("--live", "--poll-first", "20ms")
			err := cmd.Run(ctx, d.app)
			out := d.app.stdout.(*strings.Builder).String()
			if exitCode(err) != exitUnknown || !strings.HasPrefix(err.Error(), "interrupted: ") || !strings.HasSuffix(err.Error(), c.left) || strings.Contains(err.Error(), "session") != (c.left != "") {
				t.Errorf("%v, want %q", err, c.left)
			}
			if !strings.Contains(out, c.create) {
				t.Errorf("want %q:\n%s", c.create, out)
			}
			for _, line := range strings.Split(out, "\n") {
				if strings.HasPrefix(line, "fail") && !strings.Contains(line, "live-create") {
					t.Error(line)
				}
			}
			if n := sim.Stats().Sessions; n != c.sessions {
				t.Errorf("%d sessions were created, want %d", n, c.sessions)
			}
		})
	}
}
